//! Every mistake in configuration files is told with file, line, key and what was probably meant: those that reading
//! finds and those that only the exchange can find, in one file and across several.

use crate::support::TestApp;
use iocast::configfile;
use serde_json::json;
use std::fs;

/// What is configured before.
const BEFORE: &str = r#"
[[tenant]]
name = "acme"
settings = { url = "https://feeds.example/a.txt", token = "s" }
[[connection]]
name = "there"
connector = "feed"
settings = { url = "https://there.example/a.txt", token = "s" }
[[connection]]
name = "edge"
connector = "list"
[[connection]]
name = "disk"
connector = "file"
[[target]]
name = "block-ip"
connection = "edge"
[[rule]]
name = "addresses"
when = "reputation >= 5"
"#;

/// What is told of files: each mistake as `file:line: …`.
fn told(app: &TestApp, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let short = |path: &std::path::Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match configfile::load(&[dir.path().to_owned()]) {
        Err(problems) => problems
            .iter()
            .map(|problem| problem.to_string().replace(&format!("{}/", dir.path().display()), ""))
            .collect(),
        Ok(loaded) => {
            let body = serde_json::to_value(&loaded.file).unwrap();
            let answer = app.post("/api/v1/config/apply?dry_run=true", &body);
            if answer.status.is_success() {
                return answer.json()["warnings"].as_array().unwrap().iter().map(|w| format!("warning: {w}")).collect();
            }
            let text = |mistake: &serde_json::Value, key: &str| mistake[key].as_str().unwrap_or_default().to_owned();
            let answer = answer.json();
            let mistakes = answer["errors"].as_array().unwrap_or_else(|| panic!("{answer}"));
            mistakes
                .iter()
                .map(|m| {
                    let (section, name, key) = (text(m, "section"), text(m, "name"), text(m, "key"));
                    match loaded.locate(&section, &name, &key) {
                        Some(place) => format!("{}:{}: {key}: {}", short(&place.file), place.line, text(m, "problem")),
                        None => format!("nowhere: {section} {name} {key}: {}", text(m, "problem")),
                    }
                })
                .collect()
        }
    }
}

const FEED: &str = "[[connection]]\nname = \"f\"\nconnector = \"feed\"\n";

/// Files by name; what a mistake begins with; what it holds.
type Case = (Vec<(&'static str, String)>, &'static str, &'static str);

#[test]
fn forty_wrong_files() {
    let app = TestApp::new();
    let before = configfile::parse("before.toml".as_ref(), BEFORE).unwrap();
    app.post("/api/v1/config/apply", &json!(before.file)).ok();
    let feed = |rest: &str| format!("{FEED}{rest}");
    let one = |text: &str| vec![("a.toml", text.to_owned())];
    let two = |a: &str, b: &str| vec![("a.toml", a.to_owned()), ("b.toml", b.to_owned())];
    // Files; then what each mistake begins with and holds.
    let cases: Vec<Case> = vec![
        // Syntax and shape.
        (one("[[rule]\n"), "a.toml:1:", ""),
        (one("[[rule]]\nname = \"x\nwhen = \"y\"\n"), "a.toml:2:", ""),
        (one("x = 1\n"), "a.toml:1:1: x", "unknown section"),
        (one("[[tennant]]\nname = \"a\"\n"), "a.toml:1:3: tennant", "did you mean \"tenant\""),
        (one("[tenant]\nname = \"a\"\n"), "a.toml:1:2: tenant", "write [[tenant]]"),
        (one("tenant = 5\n"), "a.toml:1:1: tenant", "write [[tenant]]"),
        (one("policy = \"latest\"\n"), "a.toml:1:10: policy", "expected a table"),
        (one("[policy]\nprune_days = \"many\"\n"), "a.toml:2:14: policy.prune_days", "a whole number"),
        (one("[[tenant]]\nsettings = {}\n"), "a.toml:1:1: tenant[0]", "the key \"name\" is missing"),
        (one("[[tenant]]\nname = \"a\"\nproxi = \"x\"\n"), "a.toml:3:1: tenant[0].proxi", "did you mean \"proxy\""),
        (one("[[tenant]]\nname = \"a\"\ninitial_range_days = 1.5\n"), "a.toml:3:22", "a whole number"),
        (one("[[tenant]]\nname = \"a\"\nallow_private = \"10.0.0.0/8\"\n"), "a.toml:3:17", "a list"),
        (one("[[connection]]\nname = \"f\"\n"), "a.toml:1:1: connection[0]", "\"connector\" is missing"),
        (one("[[connection]]\nname = 7\nconnector = \"feed\"\n"), "a.toml:2:8: connection[0].name", "expected a text"),
        (one(&feed("override_reputation = 300\n")), "a.toml:4:23", "0 to 255"),
        (one(&feed("enabled = \"yes\"\n")), "a.toml:4:11", "true or false"),
        (one("[[guard]]\nname = \"g\"\n"), "a.toml:1: values", "one of them says what is guarded"),
        (one("[[guard_exception]]\nvalue = \"a.example\"\n"), "a.toml:1:1: guard_exception[0]", "is missing"),
        // Said twice.
        (two("[[tenant]]\nname = \"a\"\n", "\n[[tenant]]\nname = \"a\"\n"), "b.toml:2:1: tenant", "a.toml:1"),
        (two(FEED, FEED), "b.toml:1:1: connection", "described before"),
        (two("[policy]\n", "[policy]\n"), "b.toml:1:1: policy", "[policy] already, at"),
        (
            one("[[sharing]]\nsource = \"any\"\nrule = \"addresses\"\ntarget = \"block-ip\"\n[[sharing]]\nsource = \"any\"\nrule = \"addresses\"\ntarget = \"block-ip\"\n"),
            "a.toml:5:1: sharing",
            "describe each thing once",
        ),
        (
            one(&"[[guard_exception]]\nvalue = \"a.example\"\ntarget = \"block-ip\"\nreason = \"r\"\nuntil = \"2099-01-01\"\napprover = \"a\"\n".repeat(2)),
            "a.toml:7:1: guard_exception",
            "describe each thing once",
        ),
        // Names.
        (one("[[tenant]]\nname = \"a b\"\n"), "a.toml:2: name", "letters, digits"),
        (one(&feed("").replace("\"f\"", "\"any\"")), "a.toml:2: name", "is reserved"),
        (one(&feed("").replace("\"feed\"", "\"fead\"")), "a.toml:3: connector", "did you mean \"feed\""),
        (one("[[target]]\nname = \"t\"\nconnection = \"edgy\"\n"), "a.toml:3: connection", "did you mean \"edge\""),
        (one("[[target]]\nname = \"t\"\nconnection = \"there\"\n"), "a.toml:3: connection", "takes nothing in"),
        (one("[[target]]\nname = \"t\"\nconnection = \"edge\"\naction = \"publich\"\n"), "a.toml:4: action", "did you mean \"publish\""),
        (one(&feed("settings = { url = \"https://x.example/\" }\nreads = [\"block-it\"]\n")), "a.toml:5: reads", "did you mean \"block-ip\""),
        (two("\n[[sharing]]\nsource = \"thare\"\nrule = \"addresses\"\ntarget = \"block-ip\"\n", "[policy]\n"), "a.toml:3: source", "did you mean \"there\""),
        (two("[policy]\n", "[[sharing]]\nsource = \"any\"\nrule = \"adresses\"\ntarget = \"block-ip\"\n"), "b.toml:3: rule", "did you mean \"addresses\""),
        (one("[[sharing]]\nsource = \"any\"\nrule = \"addresses\"\ntarget = \"block-pi\"\n"), "a.toml:4: target", "block-ip"),
        // Values.
        (one("[policy]\nreconcile = \"loudest\"\n"), "a.toml:2: reconcile", "highest_reputation"),
        (one("[policy]\ndefault_tlp = \"pink\"\n"), "a.toml:2: default_tlp", "one of"),
        (one(&feed("interval = \"5 parsecs\"\nsettings = { url = \"https://x.example/\" }\n")), "a.toml:4: interval", ""),
        (one(&feed("override_reputation = 11\nsettings = { url = \"https://x.example/\" }\n")), "a.toml:4: override_reputation", "1 to 10"),
        (one(&feed("allow_private = [\"ten\"]\nsettings = { url = \"https://x.example/\" }\n")), "a.toml:4: allow_private", "10.1.0.0/16"),
        (one("[[tenant]]\nname = \"a\"\nallow_private = [\"ten\"]\n"), "a.toml:3: allow_private", "10.1.0.0/16"),
        (one("[[rule]]\nname = \"r\"\nwhen = \"reputaton > 5\"\n"), "a.toml:3: when", "reputation"),
        (one("[[rule]]\nname = \"r\"\nwhen = \"reputation > 5\"\nexceptions = [{ name = \"e\" }]\n"), "a.toml:4: exceptions.e", "says nothing"),
        (one("[[guard]]\nname = \"g\"\nvalues = [\"not a value\"]\n"), "a.toml:3: values", "cannot be guarded"),
        (one("[[guard]]\nname = \"g\"\nclass = \"popula\"\nvalues = []\n"), "a.toml:3: class", "popular"),
        (one("[[target]]\nname = \"block-ip\"\nconnection = \"edge\"\nfirst_fill = \"ask\"\n"), "a.toml:4: first_fill", "approve"),
        // Settings, of the connection's own and of its tenant.
        (one(FEED), "a.toml:1: settings.url", "is missing"),
        (one(&feed("settings = { ulr = \"https://x.example/\", url = \"https://x.example/\" }\n")), "a.toml:4: settings.ulr", "did you mean \"url\""),
        (one(&feed("[connection.settings]\nurl = \"https://x.example/\"\nformat = \"tex\"\n")), "a.toml:6: settings.format", "did you mean \"text\""),
        (one(&feed("settings = \"https://x.example/\"\n")), "a.toml:4: settings", "a table"),
        (one("[[target]]\nname = \"t\"\nconnection = \"edge\"\nparams = { formt = \"edl\" }\n"), "a.toml:4: params.formt", "did you mean \"format\""),
        (one("[[tenant]]\nname = \"a\"\nsettings = { tokn = \"x\" }\n"), "a.toml:3: settings.tokn", "did you mean \"token\""),
        (one("[[tenant]]\nname = \"a\"\nsettings = [1]\n"), "a.toml:3: settings", "a table"),
        (
            two("[[tenant]]\nname = \"a\"\nsettings = { url = \"https://x.example/\", format = \"tex\" }\n", &feed("tenant = \"a\"\n")),
            "a.toml:3: settings.format",
            "for connection \"f\": format: is \"tex\"",
        ),
        (
            two("[[tenant]]\nname = \"a\"\nsettings = { url = \"https://x.example/\", path_ = \"x\" }\n", &feed("tenant = \"a\"\n")),
            "a.toml:3: settings.path_",
            "none of its connections (f) takes such a setting; did you mean \"path\"",
        ),
        (one(&feed("tenant = \"acme\"\nsettings = { url = \"https://evil.example/\" }\n")), "a.toml:5: settings.url", "is not at an address of tenant \"acme\""),
        (one(&feed("tenant = \"acmee\"\nsettings = { url = \"https://x.example/\" }\n")), "warning: ", "did you mean \\\"acme\\\""),
        // Secrets.
        (one(&feed("settings = { url = \"https://x.example/\", token = \"*** set ***\" }\n")), "a.toml:4: settings.token", "there is none yet"),
        (one(&feed("proxy = \"http://*** set ***@p.example:1\"\nsettings = { url = \"https://x.example/\" }\n")), "a.toml:4: proxy", "there is none yet"),
        (one("[[tenant]]\nname = \"new\"\nsettings = { token = \"*** set ***\" }\n"), "a.toml:3: settings.token", "there is none yet"),
        (one(&feed("settings = { url = \"https://x.example/\", token = \"env:NOWHERE\" }\n")), "a.toml:4: settings.token", "env:NOWHERE"),
        (one(&feed("settings = { url = \"https://x.example/\", token = \"sealed:00:AA\" }\n")), "a.toml:4: settings.token", "cannot be given"),
        (
            one("[[connection]]\nname = \"there\"\nconnector = \"feed\"\nsettings = { url = \"https://evil.example/\", token = \"*** set ***\" }\n"),
            "a.toml:4: settings.token",
            "give the secret again",
        ),
    ];
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut wrong = Vec::new();
    for (files, begins, holds) in &cases {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let told = told(&app, &files);
        if !told.iter().any(|told| told.starts_with(begins) && told.contains(holds)) {
            wrong.push(format!("expected {begins} … {holds}\ntold {told:#?}\n{files:#?}"));
        }
        assert!(told.iter().all(|told| !told.starts_with("nowhere")), "{told:#?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
