//! Mistakes in configuration files, each with its place.

use iocast::configfile::{self, Loaded, Problem};
use std::path::{Path, PathBuf};

fn parse(text: &str) -> Result<Loaded, Vec<Problem>> {
    configfile::parse(Path::new("a.toml"), text)
}

#[test]
fn every_mistake_has_a_place() {
    for (text, expect) in [
        (
            "[[connection]]\nname = \"a\"\nconnector = \"feed\"\nintervall = \"5m\"\n",
            vec!["a.toml:4:1: connection[0].intervall: unknown key \"intervall\"; did you mean \"interval\"?"],
        ),
        (
            "[[connetion]]\nname = \"a\"\n",
            vec!["a.toml:1:3: connetion: unknown section \"connetion\"; did you mean \"connection\"?"],
        ),
        ("[[rule]]\nwhen = \"x\"\n", vec!["a.toml:1:1: rule[0]: the key \"name\" is missing"]),
        (
            "[[target]]\nname = \"t\"\nconnection = \"c\"\nenabled = \"yes\"\n",
            vec!["a.toml:4:11: target[0].enabled: expected true or false, found string \"yes\""],
        ),
        (
            "[[connection]]\nname = \"a\"\nconnector = \"feed\"\naging_days = -1\n",
            vec!["a.toml:4:14: connection[0].aging_days: expected a whole number, 0 or more, found integer `-1`"],
        ),
        ("[rule]\nname = \"r\"\n", vec!["a.toml:1:2: rule: there may be many of these; write [[rule]]"]),
        ("name = \n", vec!["a.toml:1:"]),
        (
            "[[rule]]\nname = \"r\"\nwhen = \"x\"\nexceptions = [ { name = \"e\", value = [\"1\"] } ]\n",
            vec!["a.toml:4:30: rule[0].exceptions[0].value: unknown key \"value\"; did you mean \"values\"?"],
        ),
        (
            "[[rule]]\nname = \"ü\"\nwhen = 5 # é\nmutedd = true\n[[rule]]\nname = \"s\"\n[policy]\nreconsile = \"latest\"\n",
            vec![
                "a.toml:8:1: policy.reconsile: unknown key \"reconsile\"; did you mean \"reconcile\"?",
                "a.toml:3:8: rule[0].when: expected a text, found integer `5`",
                "a.toml:4:1: rule[0].mutedd: unknown key \"mutedd\"; did you mean \"muted\"?",
                "a.toml:5:1: rule[1]: the key \"when\" is missing",
            ],
        ),
        (
            "[[rule]]\nname = \"r\"\nwhen = \"x\"\n\n[[rule]]\nname = \"r\"\nwhen = \"y\"\n",
            vec!["a.toml:5:1: rule: a rule \"r\" was described before, at a.toml:1; describe each thing once"],
        ),
        ("[[rule]]\nname = \"r\"\nname = \"s\"\nwhen = \"x\"\n", vec!["a.toml:3:"]),
    ] {
        let problems = parse(text).expect_err(text);
        let mut told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        told.sort();
        let mut expect: Vec<String> = expect.into_iter().map(str::to_owned).collect();
        expect.sort();
        for (told, expect) in told.iter().zip(&expect) {
            assert!(told.starts_with(expect), "{text}\nexpected {expect}\ntold     {told}");
        }
        assert!(told.len() >= expect.len(), "{text}: {told:#?}");
        assert!(told.len() == expect.len() || expect[0].ends_with(':'), "{text}: {told:#?}");
    }
}

#[test]
fn a_later_mistake_is_found_again() {
    let text = "\n[policy]\nreconcile = \"loudest\"\n\n[[connection]]\nname = \"a\"\nconnector = \"feed\"\nsettings = { url = \"ftp://x\", format = \"text\" }\n\
                \n[connection.more]\nx = 1\n";
    // A table that no struct knows is a mistake of its own.
    assert!(parse(text).is_err());
    let text = text.split("\n[connection.more]").next().unwrap().to_owned()
        + "\n[[rule]]\nname = \"r\"\nwhen = \"kind =\"\nexceptions = [\n  { name = \"e\", when = \"x =\" },\n]\n\
           [[sharing]]\nsource = \"a\"\nrule = \"r\"\ntarget = \"t\"\n";
    let loaded = parse(&text).unwrap();
    let at = |section: &str, name: &str, key: &str| loaded.locate(section, name, key).map(|p| (p.line, p.column));
    for (section, name, key, expect) in [
        ("policy", "", "reconcile", Some((3, 1))),
        ("connection", "a", "settings.url", Some((8, 14))),
        ("connection", "a", "settings.nothing", Some((8, 1))),
        ("connection", "a", "interval", Some((5, 1))),
        ("rule", "r", "when", Some((12, 1))),
        ("rule", "r", "exceptions.e", Some((14, 3))),
        ("sharing", "a → r → t", "target", Some((19, 1))),
        ("rule", "other", "when", None),
    ] {
        assert_eq!(at(section, name, key), expect, "{section} {name} {key}\n{text}");
    }
}

#[test]
fn files_and_directories_are_one_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let first = file("first.toml", "[[rule]]\nname = \"a\"\nwhen = \"reputation > 1\"\n");
    file("more/1.toml", "[[rule]]\nname = \"b\"\nwhen = \"reputation > 2\"\n");
    file("more/2.toml", "[policy]\nreconcile = \"latest\"\n");
    file("more/notes.txt", "not TOML at all [");
    let more = dir.path().join("more");
    let loaded = configfile::load(&[first.clone(), more.clone()]).unwrap();
    assert_eq!(loaded.file.rule.len(), 2);
    assert!(loaded.file.policy.is_some());
    assert_eq!(loaded.locate("rule", "b", "when").unwrap().file, more.join("1.toml"));

    file("more/3.toml", "[[rule]]\nname = \"a\"\nwhen = \"reputation > 3\"\n");
    file("more/4.toml", "[policy]\nreconcile = \"first\"\n");
    std::fs::write(dir.path().join("more/5.toml"), b"name = \"\xff\"\n").unwrap();
    let missing = dir.path().join("missing.toml");
    let problems = configfile::load(&[first.clone(), more.clone(), missing.clone()]).unwrap_err();
    let told = |file: PathBuf, part: &str| problems.iter().any(|p| p.file == file && p.to_string().contains(part));
    assert!(told(more.join("3.toml"), "first.toml:1"), "{problems:#?}");
    assert!(told(more.join("4.toml"), "[policy] already"), "{problems:#?}");
    assert!(told(more.join("5.toml"), "UTF-8"), "{problems:#?}");
    assert!(told(missing, "cannot be read"), "{problems:#?}");
    let big = file("big.toml", &"#".repeat(configfile::MAX_FILE_BYTES as usize + 1));
    assert!(configfile::load(&[big]).unwrap_err()[0].problem.contains("longer than 8 MiB"));
}

/// Chance that is the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 16] =
            ['a', 'Z', '0', ' ', '"', '\'', '\\', '\n', '\r', '\t', '#', '=', 'ü', '→', '\u{1}', '😀'];
        (0..self.roll(12)).map(|_| LETTERS[self.roll(16) as usize]).collect()
    }

    fn value(&mut self, depth: u32) -> serde_json::Value {
        match self.roll(if depth == 0 { 5 } else { 7 }) {
            0 => self.text().into(),
            1 => (self.roll(2) == 0).into(),
            2 => (self.roll(u64::MAX) as i64).into(),
            3 => (self.roll(1000) as f64 / 8.0).into(),
            4 => serde_json::Value::String(["1979-05-27", "true", "5", "inf", ""][self.roll(5) as usize].into()),
            5 => (0..self.roll(3)).map(|_| self.value(depth - 1)).collect(),
            _ => self.table(depth - 1),
        }
    }

    fn table(&mut self, depth: u32) -> serde_json::Value {
        (0..self.roll(4)).map(|_| (self.text(), self.value(depth))).collect::<serde_json::Map<_, _>>().into()
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        if self.roll(2) == 0 { None } else { Some(value(self)) }
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.roll(3)).map(|_| self.text()).collect()
    }
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    use engine::ConfigFile;
    use engine::config::*;
    for seed in 1..500 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let dice = &mut dice;
        let mut file = ConfigFile {
            policy: dice.maybe(|d| PolicyDoc { reconcile: d.maybe(Dice::text), ..PolicyDoc::default() }),
            ..ConfigFile::default()
        };
        for n in 0..dice.roll(3) {
            // Names are unique; what else they are is for the engine to judge.
            let name = format!("{n}{}", dice.text());
            file.tenant.push(TenantDoc {
                name: name.clone(),
                proxy: dice.maybe(Dice::text),
                allow_private: dice.texts(),
                settings: dice.table(2),
                ..TenantDoc::default()
            });
            file.connection.push(ConnectionDoc {
                name: name.clone(),
                tenant: dice.maybe(Dice::text),
                tags: dice.texts(),
                may_be_empty: dice.roll(2) == 0,
                enabled: dice.roll(2) == 0,
                aging_days: dice.maybe(|d| d.roll(1000) as u32),
                complete: dice.maybe(|d| d.roll(2) == 0),
                settings: dice.table(2),
                ..manual_doc()
            });
            file.target.push(TargetDoc {
                name: name.clone(),
                connection: dice.text(),
                action: dice.maybe(Dice::text),
                first_fill: dice.maybe(Dice::text),
                retract: None,
                budget: None,
                interval: dice.maybe(Dice::text),
                verify: None,
                enabled: dice.roll(2) == 0,
                params: dice.table(2),
            });
            let exceptions = (0..dice.roll(3)).map(|n| ExceptionDoc {
                name: n.to_string(),
                when: dice.maybe(Dice::text),
                values: dice.texts(),
                tags: dice.texts(),
                under: dice.roll(2) == 0,
            });
            let exceptions = exceptions.collect();
            file.rule.push(RuleDoc {
                name: name.clone(),
                folder: dice.maybe(Dice::text),
                when: dice.text(),
                muted: dice.roll(2) == 0,
                exceptions,
            });
            file.sharing.push(SharingDoc {
                source: name.clone(),
                rule: dice.text(),
                target: dice.text(),
                max_tlp: dice.maybe(Dice::text),
                paused: dice.roll(2) == 0,
            });
            file.guard.push(GuardDoc::of(&name, dice.maybe(Dice::text).as_deref(), dice.texts()));
            file.guard_exception.push(GuardExceptionDoc {
                value: name,
                target: dice.text(),
                reason: dice.text(),
                until: dice.text(),
                approver: dice.text(),
            });
        }
        let file = configfile::sorted(file);
        let sections = configfile::write(file.clone()).unwrap();
        let text: String = sections.into_iter().map(|(_, text)| text + "\n").collect();
        let read = parse(&text).unwrap_or_else(|problems| panic!("seed {seed}: {problems:#?}\n{text}"));
        assert_eq!(read.file, file, "seed {seed}\n{text}");
    }
}
