//! Short histories at one destination, of every style: what others have there is theirs, whatever we do.

#![allow(clippy::print_stdout, clippy::print_stderr)] // One seed is told by hand.
use crate::boxes::{Thing, Tool};
use crate::ledger::{Bench, HOUR, MINUTE, value};
use crate::shared_lists::say;
use crate::sim::Dice;
use engine::{Adopt, EngineError, Mode, Silent, Verify};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Every style in which a destination is written to that others write to as well.
const STYLES: [&str; 8] = ["look", "read", "append", "stage", "blind-stage", "shared", "plain", "expiring"];

/// Seeds that found a bug once.
const KEPT: &[u64] = &[31050, 43674, 58202];

/// So few values that ours and theirs meet all the time.
const POOL: u64 = 6;

/// People at the other end, and what they have there by their own doing.
pub(crate) struct Others {
    pub(crate) dice: Dice,
    pub(crate) style: &'static str,
    /// Byte for byte.
    pub(crate) theirs: Vec<Thing>,
    /// Ours that they took away: where nobody could tell that such a one was put back by them, they do not.
    taken: BTreeSet<String>,
    n: u64,
}

impl Others {
    pub(crate) fn new(seed: u64, style: &'static str) -> Others {
        Others { dice: Dice(seed), style, theirs: Vec::new(), taken: BTreeSet::new(), n: 0 }
    }

    fn put(&mut self, tool: &mut Tool, entry: &str) {
        tool.others_add(entry);
        self.theirs.push(tool.things.last().unwrap().clone());
    }

    /// They add something of their own.
    pub(crate) fn add(&mut self, tool: &mut Tool) {
        self.n += 1;
        let entry = format!("theirs{}.example.net", self.n);
        self.put(tool, &entry);
    }

    /// They add what we may want as well, where it is not there.
    pub(crate) fn add_too(&mut self, tool: &mut Tool, entry: &str) {
        let staged = tool.staged.iter().flatten().any(|thing| thing.entry == entry);
        // Where nobody can look, a call whose answer never came leaves open whose it is.
        let open = self.style == "blind-stage";
        if open || staged || tool.things.iter().any(|thing| thing.entry == entry) || self.taken.contains(entry) {
            return;
        }
        self.put(tool, entry);
        if self.style == "plain" {
            // With something of their own: a list that is to the letter what we meant to write is ours.
            self.n += 1;
            let along = format!("along{}.example.net", self.n);
            self.put(tool, &along);
        }
    }

    /// They take away one of theirs.
    pub(crate) fn drop_one(&mut self, tool: &mut Tool) {
        let may: Vec<usize> =
            (0..self.theirs.len()).filter(|at| !self.theirs[*at].entry.starts_with("along")).collect();
        if may.is_empty() {
            return;
        }
        let gone = self.theirs.remove(may[self.dice.below(may.len() as u64) as usize]);
        tool.others_remove(&gone.id);
    }

    /// They take away one of ours.
    pub(crate) fn take(&mut self, tool: &mut Tool) {
        let ours: Vec<Thing> = tool.things.iter().filter(|thing| thing.mark.is_some()).cloned().collect();
        if ours.is_empty() {
            return;
        }
        let gone = &ours[self.dice.below(ours.len() as u64) as usize];
        tool.others_remove(&gone.id);
        if matches!(self.style, "plain" | "append" | "blind-stage") {
            self.taken.insert(gone.entry.clone());
        }
    }

    pub(crate) fn edit(&mut self, tool: &mut Tool, entry: &str) {
        match self.dice.below(10) {
            0..=3 => self.add(tool),
            4..=5 => self.add_too(tool, entry),
            6..=7 => self.drop_one(tool),
            _ => self.take(tool),
        }
    }

    /// Panics where something of theirs is not there as they put it, or something counts as theirs that they did not put.
    pub(crate) fn check(&self, tool: &Tool, told: &str) {
        let style = self.style;
        assert!(tool.damaged.is_empty(), "{told} {style}: we took {:?} from others", tool.damaged);
        assert!(tool.raised.is_empty(), "{told} {style}: {:?} is there again", tool.raised);
        let mut there: Vec<&Thing> = tool.things.iter().filter(|thing| thing.mark.is_none()).collect();
        let mut theirs: Vec<&Thing> = self.theirs.iter().collect();
        there.sort_by(|a, b| a.id.cmp(&b.id));
        theirs.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(there, theirs, "{told} {style}");
    }
}

/// What came of a history.
#[derive(Default, Debug)]
struct Tally {
    effects: u64,
    /// Entries of others at the end.
    theirs: u64,
    /// Of these, such as we wanted to have there too.
    meets: u64,
    stops: u64,
}

fn history(seed: u64) -> Tally {
    let style = STYLES[(seed % 8) as usize];
    let mut dice = Dice(seed ^ 0xf0_12e1);
    let mut bench = Bench::new(seed, &[("t", style, json!({}))]);
    let others = Arc::new(Mutex::new(Others::new(seed ^ 0x07e5, style)));
    bench.tool(|tool| {
        let mut others = others.lock().unwrap();
        tool.keeps_versions = dice.chance(50);
        tool.says_count = dice.chance(50);
        for _ in 0..dice.below(3) {
            others.add(tool);
            others.add_too(tool, &value(dice.below(POOL)));
        }
        if dice.chance(50) {
            (tool.busy, tool.lost) = (dice.below(25), dice.below(25));
        }
        if style == "append" {
            tool.lag = 15 * MINUTE;
        }
    });
    // Between two calls of ours too. Where nothing tells of it, what happens in the moment of the call itself is not seen.
    let (between, percent) = (others.clone(), dice.below(30));
    bench.tool(|tool| {
        tool.others = Some(Box::new(move |verb, tool| {
            let mut others = between.lock().unwrap();
            let unseen =
                matches!(verb, "replace" | "retract" | "deploy") && !(verb == "replace" && tool.keeps_versions);
            if others.dice.chance(percent) {
                let entry = value(others.dice.below(POOL));
                match unseen {
                    true if verb != "replace" => others.add(tool),
                    true => {}
                    false => others.edit(tool, &entry),
                }
            }
        }));
    });
    let mut tally = Tally::default();
    let mut wanted = BTreeSet::new();
    for _ in 0..3 {
        wanted = (0..POOL).filter(|_| dice.chance(50)).map(value).collect();
        bench.feed(wanted.iter().map(|v: &String| (v.clone(), 5 + dice.below(5) as i64)));
        for _ in 0..1 + dice.below(2) {
            bench.sim.wait(if dice.chance(50) { HOUR } else { 5 * MINUTE });
            bench.tool(|tool| {
                let mut others = others.lock().unwrap();
                let entry = value(dice.below(POOL));
                others.edit(tool, &entry);
            });
            if dice.chance(15) {
                bench.sim.lock().stop_in = Some(dice.below(8));
            }
            let engine = bench.engine();
            let done = match dice.below(20) {
                0 => engine.verify("t", Verify { believe: true, all: true }).map(drop),
                1 => {
                    let unread = style == "blind-stage";
                    engine.adopt("t", Adopt { apply: true, forget: false, unread }, "ann").map(drop)
                }
                2..=3 => {
                    let filter = store::RunFilter { kind: Some("share"), subject: Some("t"), status: None };
                    let runs = engine.store().runs(filter, 1, None).unwrap();
                    let undone = runs.first().map(|run| engine.undo_run(run.id, "ann"));
                    match undone {
                        Some(Ok(plan)) => engine.approve_plan(plan.id, "bob", None).map(drop),
                        Some(Err(error)) => Err(error),
                        None => Ok(()),
                    }
                }
                _ => engine.share("t", Mode { approve: true, ..Mode::default() }, &Silent).map(drop),
            };
            bench.sim.lock().stop_in = None;
            if crate::ledger::kept("IOCAST_SEED").is_some() {
                bench.tool(|tool| {
                    let calls: Vec<_> = tool.calls.drain(..).map(|(at, verb, n)| format!("{at} {verb} {n}")).collect();
                    say(&format!("{style} {:?} {calls:?}\n  {:?} wanted {wanted:?}", done.as_ref().err(), tool.things));
                });
                let lines = bench.engine().deliveries(Some("t"), None, None, 100).unwrap().0;
                say(&format!("  {:?}", lines.iter().map(|l| (l.value.clone(), l.state)).collect::<Vec<_>>()));
            }
            match done {
                Ok(()) => {}
                Err(EngineError::Stopped(_)) => {
                    tally.stops += 1;
                    bench.restart();
                }
                Err(EngineError::Connector { .. } | EngineError::Conflict(_) | EngineError::Invalid(_)) => {}
                Err(error) => panic!("seed {seed} {style}: {error}"),
            }
            bench.tool(|tool| others.lock().unwrap().check(tool, &format!("seed {seed}")));
        }
    }
    bench.tool(|tool| {
        let others = others.lock().unwrap();
        tally.effects =
            ["push", "retract", "replace", "deploy"].iter().map(|verb| tool.n_calls(verb) as u64).sum::<u64>();
        tally.theirs = others.theirs.len() as u64;
        tally.meets = others.theirs.iter().filter(|thing| wanted.contains(&thing.entry)).count() as u64;
    });
    tally
}

/// Short histories at one destination each, of all eight styles in turn (asked one by one, read as a whole, appended and
/// late to show, staged and deployed, staged and silent, a shared list with marks and without, entries that expire): others
/// add, also what we want, and take away, theirs and ours, before and between our calls; calls are turned away or their
/// answers lost, the process stops anywhere; passes, readings, adoptions and undoings by turns. After each, every entry of
/// others is there byte for byte as they left it, and nothing counts as theirs that is ours. 800 histories in CI, as many
/// as IOCAST_HISTORIES says (100,000 before a release). Not tried, for nobody could see it: that others put an entry of
/// ours back in its place, or one that we want where nobody can look, or edit in the very moment of a call that sees no
/// versions.
#[test]
fn b07_what_others_have_there_is_never_touched() {
    if let Some(seed) = crate::ledger::kept("IOCAST_SEED") {
        say(&format!("{:?}", history(seed)));
        return;
    }
    let base = crate::ledger::kept("IOCAST_SEED_BASE").unwrap_or(0);
    let n = crate::ledger::kept("IOCAST_HISTORIES").unwrap_or(800);
    let mut all = Tally::default();
    for seed in KEPT {
        history(*seed);
    }
    for tally in crate::ledger::on_two_threads(base + 1..=base + n, history) {
        all.effects += tally.effects;
        all.theirs += tally.theirs;
        all.meets += tally.meets;
        all.stops += tally.stops;
    }
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{n} histories: {all:?}\n").as_bytes());
    assert!(n < 100 || (all.effects > n && all.theirs > n && all.meets > 0 && all.stops > 0), "{all:?}");
}
