//! What an operator hands in: configuration files, key files and sealed secrets, and the cursors that travel in addresses.

use crate::tell::{choice, text};
use crate::{Seed, Target};
use engine::config::{Documents, Strict, resolve};
use engine::{ConfigFile, FeedPlace, Registry};
use iocast::configfile;
use iocast::seal::Keys;
use kit::Secret;
use kit::secret::NoSecrets;
use std::path::Path;
use std::sync::OnceLock;

/// The documents as the store would have them.
fn documents(file: ConfigFile) -> Documents {
    use engine::config::Stored;
    let mut id = 1;
    let mut stored = || {
        id += 1;
        id
    };
    Documents {
        policy: file.policy.unwrap_or_default(),
        tenants: file.tenant.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        connections: file.connection.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        targets: file.target.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        rules: file.rule.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        sharings: file.sharing.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        guards: file.guard.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        guard_exceptions: file.guard_exception.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        notifies: file.notify.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        providers: file.provider.into_iter().map(|doc| Stored { id: stored(), doc }).collect(),
        former: Vec::new(),
    }
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Registry::new(connectors::all()))
}

pub(crate) static CONFIG: Target = Target {
    name: "config",
    run: |data| {
        let toml = text(data);
        let name = Path::new("iocast.toml");
        let loaded = match configfile::parse(name, &toml) {
            Ok(loaded) => loaded,
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    let n_lines = toml.split('\n').count();
                    assert!(problem.line <= n_lines + 1, "line {} of {n_lines}", problem.line);
                    // Where it is no mistake of spelling, it names the key.
                    assert!(problem.line > 0 || !problem.key.is_empty(), "nowhere: {problem}");
                    assert!(!problem.problem.is_empty());
                }
                return;
            }
        };
        // What was read can be written, and reads back as the same. TOML has no numbers above i64.
        if let Ok(sections) = configfile::write(loaded.file.clone()) {
            let written: String = sections.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
            match configfile::parse(name, &written) {
                Ok(again) => assert_eq!(configfile::write(again.file).ok(), Some(sections), "{written}"),
                Err(problems) => panic!("what was written does not read: {problems:?}\n{written}"),
            }
        }
        for strict in [Strict::Yes, Strict::No] {
            match resolve(&documents(loaded.file.clone()), registry(), &NoSecrets, strict) {
                Ok(config) => assert!(config.connections.len() <= loaded.file.connection.len()),
                Err(errors) => {
                    assert!(!errors.is_empty());
                    for error in errors {
                        assert!(!error.section.is_empty() && !error.problem.is_empty());
                        // A mistake names its thing and its key, so that it can be shown where it stands.
                        assert!(!error.key.is_empty() || !error.name.is_empty(), "nowhere: {error}");
                        let _ = loaded.locate(error.section, &error.name, &error.key);
                    }
                }
            }
        }
    },
    seeds: &[
        Seed::Text(
            "[policy]\nreconcile = \"latest\"\n\n[[connection]]\nname = \"ipsum\"\nconnector = \"feed\"\ninterval = \"6h\"\nsettings = { url = \"https://a.example/x\", format = \"text\" }\n",
        ),
        Seed::Text(
            "[[connection]]\nname = \"edge\"\nconnector = \"list\"\nsettings = {}\n[[target]]\nname = \"block-ip\"\nconnection = \"edge\"\naction = \"publish\"\nfirst_fill = \"allow\"\n[target.params]\nformat = \"edl\"\n[[rule]]\nname = \"r\"\nwhen = \"kind in (ipv4)\"\n[[rule.exception]]\nname = \"x\"\nvalues = [\"198.51.100.7\"]\n[[sharing]]\nsource = \"any\"\nrule = \"r\"\ntarget = \"block-ip\"\n",
        ),
        Seed::Text(
            "[[tenant]]\nname = \"t\"\nconnector = \"taxii\"\n[tenant.settings]\nurl = \"https://t.example/taxii2/\"\npassword = \"env:T\"\n[[guard]]\nname = \"own\"\nclass = \"lifeline\"\nvalues = [\"example.org\", \"203.0.113.0/24\"]\n[[guard_exception]]\nvalue = \"x.example.org\"\ntarget = \"block-ip\"\nreason = \"test\"\nuntil = \"2027-01-01\"\napprover = \"me\"\n",
        ),
        Seed::Text(
            "[policy]\nfour_eyes = \"auto\"\n[policy.budget]\nper_day = 3\n[policy.budget.adds]\npercent = 20\nat_least = 5000\nat_most = 50000\n[[connection]]\nname = \"edge\"\nconnector = \"list\"\n[[target]]\nname = \"b\"\nconnection = \"edge\"\naction = \"publish\"\nbudget = { removals = { percent = 100, at_least = 0, at_most = 5 }, per_day = 1 }\n[[guard]]\nname = \"own\"\npatterns = [\"*.example.org\", \"/a+b/\"]\nwarninglist = \"lists/x.json.gz\"\n[[notify]]\nname = \"m\"\nchannel = \"mail\"\nsettings = { server = \"m.example\", from = \"a@example.org\", to = [\"b@example.org\"] }\n",
        ),
        Seed::File { before: "", path: "crates/iocast/src/demo/config.toml", most: 12_000 },
    ],
    words: &[
        "[[connection]]\n",
        "[[target]]\n",
        "[[rule]]\n",
        "[[sharing]]\n",
        "[[guard]]\n",
        "[[tenant]]\n",
        "[policy]\n",
        "name = \"x\"\n",
        "connector = \"feed\"\n",
        "interval = \"1s\"\n",
        "aging_days = -1\n",
        "settings = { ",
        "}",
        "when = \"",
        "values = [",
        "\"\"\"",
        "'''",
        "1e400",
        "inf",
        "nan",
        "2026-01-01",
        "0x_1",
        "enabled = false\n",
        "proxy = \"http://u:p@h:1\"\n",
        "params = {}\n",
        "first_fill = \"approve\"\n",
        "budget = { ",
        "percent = 101",
        "at_most = 0",
        "patterns = [\"/",
        "allow_from = [\"10.0.0.0/8\"]\n",
        "\\u0000",
        "9223372036854775807",
        ".",
        "=",
        "\n",
    ],
    longest: 32_768,
};

pub(crate) static SECRETS: Target = Target {
    name: "secrets",
    run: |data| {
        let (first, rest) = choice(data);
        let raw = text(rest);
        if let Ok(secret) = Secret::resolve(&raw, &NoSecrets) {
            assert!(!Secret::is_reference(&raw));
            assert!(!format!("{secret:?}").contains(&*raw) || raw.len() < 4, "a secret is shown");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("keys");
        let data_dir = folder.path().join("data");
        let keys = || Keys::new(Some(file.clone()), data_dir.clone());
        let ours = keys();
        let sealed = ours.seal("connection/x/token", "the secret").expect("a fresh key seals");
        assert_eq!(ours.unseal("connection/x/token", &sealed).as_deref(), Ok("the secret"));
        assert!(ours.unseal("connection/y/token", &sealed).is_err(), "opened at another place");
        if first.is_multiple_of(2) {
            // A sealed text that was tampered with never opens to something else.
            let opened = ours.unseal("connection/x/token", &raw);
            assert!(opened.is_err() || raw == sealed, "{raw}");
            let mut bent = sealed.clone().into_bytes();
            let at = usize::from(first / 2) % bent.len();
            bent[at] = rest.first().copied().unwrap_or(b'!') & 0x7f;
            if let Ok(bent) = String::from_utf8(bent) {
                let opened = ours.unseal("connection/x/token", &bent);
                assert!(opened.is_err() || opened.as_deref() == Ok("the secret"), "{bent}");
            }
        } else {
            // A key file with something of a stranger behind our key is refused, and refused again: nothing may use or
            // write back the half of it that could be read.
            let good = std::fs::read_to_string(&file).expect("the key file was made");
            std::fs::write(&file, [good.as_bytes(), rest].concat()).expect("the key file is ours");
            let tampered = keys();
            let one = tampered.unseal("connection/x/token", &sealed);
            let two = tampered.unseal("connection/x/token", &sealed);
            assert_eq!(one, two, "asked twice, the key file says two things");
            if one.is_err() {
                assert!(tampered.add().is_err(), "a broken key file was written over");
                assert!(tampered.forget_old().is_err(), "a broken key file was written over");
            }
        }
    },
    seeds: &[
        Seed::Text("\0sealed:0123456789abcdef:AAAA"),
        Seed::Text("\0env:TOKEN"),
        Seed::Text("\x01nonsense\n"),
        Seed::Text("\x01# a comment\n\n"),
        Seed::Text("\x010123456789abcdef AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
    ],
    words: &["sealed:", "env:", "file:", ":", " ", "\n", "#", "AAAA", "=", "\0", "\u{feff}"],
    longest: 4_096,
};

pub(crate) static CURSORS: Target = Target {
    name: "cursors",
    run: |data| {
        let raw = text(data);
        if let Some(place) = FeedPlace::parse(&raw) {
            assert_eq!(FeedPlace::parse(&place.to_string()), Some(place), "{raw:?}");
            assert!(place.begun.is_none_or(|begun| place.since < begun));
        }
        super::api::cursor(&raw);
    },
    seeds: &[
        Seed::Text("17"),
        Seed::Text("3-17"),
        Seed::Text("WzEsMSxudWxsXQ"),
        Seed::Text("WzE4NDQ2NzQ0MDczNzA5NTUxNjE1LDQyOTQ5NjcyOTUsImEiXQ"),
    ],
    words: &["-", "0", "9223372036854775807", "9223372036854775808", "WzE", "bnVsbF0", "=", "_"],
    longest: 1_024,
};
