//! People are told what needs them: once, whatever is run again and whoever restarts, and never what no channel may know.

use crate::sim::{Item, Mood, Sim, connection, target};
use engine::notice::{Letter, TellReport};
use engine::{ConfigFile, Engine, EngineError, Mode, Silent};
use intel::{DAY, TargetId, Timestamp, Verdict, VerdictKind};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tempfile::TempDir;

struct Bench {
    sim: Sim,
    engine: Engine,
    dir: TempDir,
}

fn channel(name: &str, more: &Value) -> Value {
    let mut doc = json!({ "name": name, "channel": "syslog", "settings": { "transport": "local" } });
    doc.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    doc
}

impl Bench {
    /// A source, a target whose first fill waits, and these channels.
    fn new(channels: &[Value]) -> Bench {
        let sim = Sim::new(3);
        let dir = TempDir::new().unwrap();
        let engine = sim.open(Store::in_memory().unwrap(), dir.path()).unwrap();
        let mut tool = serde_json::to_value(target("edr", "tool", &json!({}))).unwrap();
        tool["first_fill"] = json!("approve");
        let file: ConfigFile = serde_json::from_value(json!({
            "policy": { "public_url": "https://iocast.example/" },
            "connection": [
                serde_json::to_value(connection("feed", "sim-feed", Some("feed"))).unwrap(),
                serde_json::to_value(connection("tool", "sim-tool", Some("tool"))).unwrap(),
            ],
            "target": [tool],
            "rule": [{ "name": "all", "when": "reputation >= 1" }],
            "sharing": [{ "source": "feed", "rule": "all", "target": "edr", "max_tlp": "red" }],
            "notify": channels,
        }))
        .unwrap();
        engine.apply(&file, "test", false).unwrap();
        Bench { sim, engine, dir }
    }

    fn feed(&self, values: &[&str]) {
        let item = Item { reputation: 8, tag: None, seq: 0, retracted: false };
        self.sim.product("feed", |p| p.items = values.iter().map(|v| ((*v).to_owned(), item.clone())).collect());
        self.engine.pull("feed", &Silent).unwrap();
    }

    fn pass(&self) -> engine::ShareReport {
        self.engine.share("edr", Mode::default(), &Silent).unwrap()
    }

    fn tell(&self) -> TellReport {
        self.engine.take_notice().unwrap();
        self.engine.tell_due().unwrap()
    }

    /// Kinds told through a channel so far, in order.
    fn told(&self, channel: &str) -> Vec<String> {
        let state = self.sim.lock();
        state.letters.iter().filter(|(name, _)| name == channel).map(|(_, letter)| letter.kind.clone()).collect()
    }

    fn letters(&self) -> Vec<Letter> {
        self.sim.lock().letters.iter().map(|(_, letter)| letter.clone()).collect()
    }

    fn later(&self, by: Duration) {
        let mut state = self.sim.lock();
        state.now = state.now.after(by);
    }

    fn target(&self) -> TargetId {
        *self.engine.config().targets.keys().next().unwrap()
    }

    fn restarted(self) -> Bench {
        let Bench { sim, engine, dir } = self;
        let engine = sim.open(engine.into_store(), dir.path()).unwrap();
        Bench { sim, engine, dir }
    }

    fn standing(&self) -> Vec<String> {
        self.engine.notices_shown(0).unwrap().into_iter().map(|notice| notice.kind).collect()
    }
}

#[test]
fn a_held_plan_is_told_once_until_it_waits_anew() {
    let mut bench = Bench::new(&[channel("soc", &json!({}))]);
    bench.feed(&["9.9.9.1", "9.9.9.2"]);
    let plan = bench.pass().plan.unwrap();
    assert_eq!(bench.tell(), TellReport { told: 1, failed: 0 });
    let letter = bench.letters().remove(0);
    assert_eq!(letter.text, "A plan of edr waits for approval: it would add 2.");
    assert!(letter.next_step.contains(&format!("iocast plan approve {plan}")), "{}", letter.next_step);
    assert_eq!(letter.link.as_deref(), Some(&*format!("https://iocast.example/api/v1/plans/{plan}")));
    for round in 0..20 {
        bench.later(Duration::from_secs(600));
        // The plan grows, and gets another number: it is the same wait.
        bench.feed(&["9.9.9.1", "9.9.9.2", &format!("9.9.8.{round}")]);
        bench.pass();
        assert_eq!(bench.tell(), TellReport::default(), "round {round}");
        if round % 5 == 0 {
            bench = bench.restarted();
        }
    }
    assert_eq!(bench.standing(), ["plan_waiting"]);
    let plan = bench.pass().plan.unwrap();
    bench.engine.approve_plan(plan, "test", None).unwrap();
    bench.pass();
    assert_eq!(bench.tell(), TellReport::default());
    assert!(bench.standing().is_empty(), "it is over by itself");
    assert_eq!(bench.engine.notices_shown(7).unwrap().len(), 1, "and can be read");
    // Another one, later: emptying the target waits again.
    bench.sim.product("feed", |p| p.mood = Mood::Empty);
    let run = bench.engine.pull("feed", &Silent).unwrap().run;
    assert_eq!(bench.tell().told, 1, "a suspect run");
    bench.engine.approve_run(intel::RunId(run), "test").unwrap();
    assert_eq!(bench.pass().status, "held");
    assert_eq!(bench.tell().told, 1);
    assert_eq!(bench.told("soc"), ["plan_waiting", "run_suspect", "plan_waiting"]);
}

#[test]
fn a_channel_that_does_not_take_it_is_tried_again_and_keeps_no_other_waiting() {
    let bench = Bench::new(&[channel("deaf", &json!({})), channel("soc", &json!({}))]);
    bench.sim.lock().deaf.insert("deaf".into());
    bench.engine.store().set_setting("frozen", "true").unwrap();
    bench.feed(&["9.9.9.1"]);
    bench.sim.product("feed", |p| p.mood = Mood::Empty);
    bench.engine.pull("feed", &Silent).unwrap();
    assert_eq!(bench.tell(), TellReport { told: 2, failed: 1 });
    assert_eq!(bench.tell(), TellReport::default(), "not again at once");
    let shown = bench.engine.channels_shown().unwrap();
    let deaf = shown.iter().find(|channel| channel.name == "deaf").unwrap();
    assert_eq!((deaf.waiting, deaf.failures, deaf.error.is_some()), (2, 1, true), "{deaf:?}");
    let mut failed = 1;
    for _ in 0..50 {
        bench.later(Duration::from_secs(600));
        failed += bench.tell().failed;
    }
    assert!((8..=20).contains(&failed), "backs off up to an hour: {failed} tries in 500 minutes");
    bench.sim.lock().deaf.clear();
    bench.later(Duration::from_secs(3600));
    assert_eq!(bench.tell(), TellReport { told: 2, failed: 0 });
    assert_eq!(bench.told("deaf"), ["frozen", "run_suspect"], "in their order");
    assert_eq!(bench.told("soc"), ["frozen", "run_suspect"]);
}

#[test]
fn a_process_that_ends_while_it_tells_repeats_it_under_the_same_name() {
    let mut bench = Bench::new(&[channel("soc", &json!({}))]);
    bench.feed(&["9.9.9.1"]);
    bench.pass();
    bench.engine.take_notice().unwrap();
    for _ in 0..3 {
        bench.sim.lock().stop_in = Some(0);
        assert!(matches!(bench.engine.tell_due(), Err(EngineError::Stopped(_))));
        bench = bench.restarted();
    }
    bench.sim.lock().stop_in = None;
    assert_eq!(bench.tell().told, 1);
    assert_eq!(bench.tell().told, 0);
    let names: Vec<String> = bench.letters().iter().map(Letter::message_id).collect();
    assert_eq!(names.len(), 4);
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[test]
fn what_is_the_case_is_told_to_whom_it_concerns() {
    let bench = Bench::new(&[
        channel("all", &json!({})),
        channel("grave", &json!({ "min_severity": "critical" })),
        channel("drift", &json!({ "on": ["drift"] })),
        channel("off", &json!({ "enabled": false })),
    ]);
    let (engine, target) = (&bench.engine, bench.target());
    let set = |state: Value| engine.store().set_target_state(target, &state.to_string()).unwrap();
    let source = *engine.config().connections.iter().find(|(_, c)| c.doc.name == "feed").unwrap().0;
    for (state, kind) in [
        (json!({ "denied": true, "failures": 9 }), "denied"),
        (json!({ "failures": 3 }), "failing"),
        (json!({ "drift": { "missing": 3, "lost": 1 } }), "drift"),
        (json!({ "failures": 2 }), ""),
    ] {
        set(state);
        bench.tell();
        assert_eq!(bench.standing().join(","), kind);
    }
    let old = bench.sim.lock().now.before(2 * DAY).micros();
    for (state, kind) in [
        (json!({ "denied": true }), "denied"),
        (json!({ "last_success": old }), "stale"),
        (json!({ "failures": 3, "last_success": bench.sim.lock().now.micros() }), "failing"),
    ] {
        engine.store().set_connection_state(source, &state.to_string()).unwrap();
        bench.tell();
        assert_eq!(bench.standing().join(","), kind);
    }
    engine.store().set_connection_state(source, "{}").unwrap();
    engine.store().set_setting("frozen", "true").unwrap();
    bench.tell();
    engine.store().set_setting("frozen", "false").unwrap();
    bench.tell();
    bench.tell();
    let all = ["denied", "failing", "drift", "denied", "stale", "failing", "frozen", "thawed"];
    assert_eq!(bench.told("all"), all);
    assert_eq!(bench.told("grave"), ["denied", "failing", "denied", "frozen"]);
    assert_eq!(bench.told("drift"), ["drift"]);
    assert!(bench.told("off").is_empty());
}

#[test]
fn a_verdict_that_ends_soon_is_told_once() {
    let bench = Bench::new(&[channel("soc", &json!({}))]);
    bench.feed(&["9.9.9.1", "9.9.9.2", "9.9.9.3"]);
    let until = |days: u32| Some(bench.sim.lock().now.after(days * DAY));
    for (value, kind, until) in [
        ("9.9.9.1", VerdictKind::FalsePositive, until(10)),
        ("9.9.9.2", VerdictKind::FalsePositive, until(10)),
        ("9.9.9.3", VerdictKind::Safe, None),
    ] {
        bench.engine.verdict(value, None, Some(Verdict { kind, until }), "test").unwrap();
    }
    assert_eq!(bench.tell().told, 0);
    bench.later(8 * DAY);
    bench.tell();
    assert_eq!(bench.told("soc"), ["stale", "verdict_ending"]);
    assert_eq!(
        bench.letters()[1].text,
        "2 false_positive verdicts end on 2026-03-11: what sources still say of those values counts again then."
    );
    bench.later(DAY);
    assert_eq!(bench.tell().told, 0);
    bench.later(2 * DAY);
    bench.engine.advance().unwrap();
    bench.tell();
    assert_eq!(bench.standing(), ["stale"], "it has ended");
}

/// A notice goes through channels that may be less guarded than any target, so it holds no indicator's value, whatever its
/// marking, and no word of the other side: three marked values through all kinds of notices, every field of every letter
/// looked at.
#[test]
fn s60_a_notice_holds_no_value_whatever_its_marking() {
    let bench = Bench::new(&[channel("chat", &json!({}))]);
    let secrets = ["203.0.114.77", "red-secret.example.com", "http://red-secret.example.com/path-4711"];
    bench.feed(&secrets);
    bench.pass();
    bench.tell();
    let plan = bench.pass().plan.unwrap();
    bench.sim.product("tool", |p| p.trouble.refuse = 100);
    bench.engine.approve_plan(plan, "test", None).unwrap();
    assert_eq!(bench.pass().refused, 3);
    let until = Some(bench.sim.lock().now.after(DAY));
    bench.engine.verdict(secrets[0], None, Some(Verdict { kind: VerdictKind::FalsePositive, until }), "test").unwrap();
    bench.sim.product("feed", |p| p.mood = Mood::Empty);
    bench.engine.pull("feed", &Silent).unwrap();
    bench.engine.store().set_setting("frozen", "true").unwrap();
    bench.tell();
    let kinds = bench.told("chat");
    for kind in ["plan_waiting", "refused", "verdict_ending", "run_suspect", "frozen"] {
        assert!(kinds.iter().any(|told| told == kind), "{kind} of {kinds:?}");
    }
    for letter in bench.letters() {
        let all = format!("{letter:?} {} {} {}", letter.headline(), letter.body(), letter.json(Timestamp::EPOCH));
        for part in ["203.0.114.77", "red-secret", "4711"] {
            assert!(!all.contains(part), "{all}");
        }
    }
}

#[test]
fn two_rounds_at_once_tell_it_once() {
    let bench = Bench::new(&[channel("soc", &json!({}))]);
    bench.feed(&["9.9.9.1"]);
    bench.pass();
    let engine = Arc::new(bench.engine);
    let rounds: Vec<_> = (0..4)
        .map(|_| {
            let engine = Arc::clone(&engine);
            std::thread::spawn(move || engine.take_notice().and_then(|_| engine.tell_due()).unwrap().told)
        })
        .collect();
    assert_eq!(rounds.into_iter().map(|round| round.join().unwrap()).sum::<u64>(), 1);
}

/// Shown: what a notice quotes is data on every channel: no control byte, no line of its own, nothing that turns the
/// direction of writing, in headline, text and next step. How: notices whose every text is a payload are told. Figures: 13
/// payloads x 3 texts; bytes that a mail, a log or a terminal obeys: 0.
#[test]
fn f36_what_people_are_told_forges_nothing() {
    let bench = Bench::new(&[channel("log", &json!({}))]);
    let payloads = [
        "a\r\nBcc: everyone@example.org",
        "a\n\n<html>",
        "\u{0}x",
        "\u{1b}[2J",
        "\u{9b}31m",
        "\u{85}next",
        "\u{2028}line",
        "\u{202e}gpj.exe",
        "\u{2066}isolate",
        "<132>1 2026-01-01T00:00:00Z - other - forged",
        "=?utf-8?q?=0d=0aBcc=3a_x=40example=2eorg?=",
        "\u{7f}",
        "\t=1",
    ];
    for payload in payloads {
        let notice = store::NewNotice {
            kind: "drift",
            subject: payload,
            severity: "critical",
            text: payload,
            next_step: payload,
            path: "",
            is_event: true,
        };
        bench.engine.store().note(&notice, bench.sim.lock().now).unwrap();
    }
    bench.engine.tell_due().unwrap();
    let letters = bench.letters();
    assert_eq!(letters.len(), payloads.len());
    for letter in letters {
        for text in [&letter.subject, &letter.text, &letter.next_step, &letter.headline()] {
            let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            assert_eq!(text.chars().find(|c| obeyed(*c)), None, "{text:?}");
        }
    }
}
