//! Configuration as code: what files say, kept, compared, taken back, sealed. Through the binary, as scripts do it.

use crate::support::Ran;
use intel::{DAY, Timestamp};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const CANARIES: [&str; 3] = ["canary-tenant-5e1d", "canary-own-77aa", "canary-proxy-91c0"];

const SITE: &str = r#"
[policy]
default_tlp = "green"

[[tenant]]
name = "acme"
initial_range_days = 30
settings = { url = "https://feeds.example/a.txt", token = "canary-tenant-5e1d" }

[[connection]]
name = "shared"
connector = "feed"
tenant = "acme"
settings = { format = "text", kind = "auto" }

[[connection]]
name = "own"
connector = "feed"
tags = ["x", "a \"quoted\" ü"]
proxy = "http://user:canary-proxy-91c0@proxy.example:3128"
settings = { url = "https://own.example/list.csv", format = "csv", kind = "auto", token = "canary-own-77aa", value = "1" }

[[connection]]
name = "levels"
connector = "feed"
settings = { url = "file://{{dir}}/levels.txt", format = "text", kind = "auto", token = "env:NOWHERE_BUT_HERE" }

[[connection]]
name = "edge"
connector = "list"

[[connection]]
name = "disk"
connector = "file"

[[target]]
name = "block-ip"
connection = "edge"
first_fill = "allow"
params = { format = "edl", capacity = 1000 }

[[target]]
name = "to-file"
connection = "disk"
first_fill = "allow"
params = { path = "{{dir}}/out.txt" }

[[rule]]
name = "addresses"
folder = "a/b"
when = 'kind in (ipv4, ipv4_net) and not value matches "^1\\."'
exceptions = [{ name = "office", values = ["203.0.113.0/24"], under = false }, { name = "tagged", tags = ["no"] }]

[[sharing]]
source = "levels"
rule = "addresses"
target = "block-ip"
max_tlp = "red"

[[sharing]]
source = "any"
rule = "addresses"
target = "to-file"

[[guard]]
name = "ours"
class = "popular"
values = ["example-corp.com", "192.0.2.0/24"]

[[guard_exception]]
value = "login.example-corp.com"
target = "block-ip"
reason = "taken over"
until = "{{until}}"
approver = "A. Name"
"#;

struct Desk(TempDir);

impl Desk {
    fn new() -> Desk {
        let desk = Desk(TempDir::new().unwrap());
        desk.put("levels.txt", "198.51.100.7\n198.51.100.8\n5.6.7.0/24\n");
        desk.put("site.toml", &desk.site());
        desk
    }

    fn site(&self) -> String {
        // The end of an exception is at most a year away.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let until = Timestamp::EPOCH.after(now).after(30 * DAY);
        SITE.replace("{{dir}}", &self.0.path().canonicalize().unwrap().display().to_string())
            .replace("{{until}}", &until.to_string()[..10])
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// A command on the data directory `data`, with the key file `key`.
    fn run(&self, data: &str, line: &str) -> Ran {
        let done = Command::new(env!("CARGO_BIN_EXE_iocast"))
            .args(line.split(' '))
            .current_dir(self.0.path().canonicalize().unwrap())
            .env_clear()
            .env("IOCAST_DATA", data)
            .env("IOCAST_FILES", self.0.path().canonicalize().unwrap())
            .env("IOCAST_KEY_FILE", "keys/key")
            .env("NOWHERE_BUT_HERE", "canary-env-3b3b")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let ran = Ran::from(done);
        for canary in CANARIES.iter().chain(&["canary-env-3b3b"]) {
            assert!(
                !ran.out.contains(canary) && !ran.err.contains(canary),
                "{line} says {canary}\n{}{}",
                ran.out,
                ran.err
            );
        }
        ran
    }

    fn ok(&self, line: &str) -> Ran {
        self.run("data", line).code(0)
    }

    /// Whether any byte of a directory spells a text.
    fn holds(&self, dir: &str, text: &str) -> bool {
        let mut open = vec![self.at(dir)];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else if fs::read(entry.path()).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
                    return true;
                }
            }
        }
        false
    }
}

#[test]
fn what_is_exported_is_what_was_applied() {
    let desk = Desk::new();
    desk.ok("apply site.toml").says("+ tenant \"acme\"").says("settings.token: *** set ***");
    desk.ok("apply site.toml").says("nothing to change, 14 as they should be");
    desk.ok("diff site.toml").says("no difference");
    let export = desk.ok("export").out;
    desk.put("export.toml", &export);
    desk.ok("apply export.toml").says("nothing to change, 14 as they should be");
    desk.ok("diff export.toml");
    desk.ok("export --dir conf.d");
    desk.ok("apply conf.d").says("nothing to change, 14 as they should be");
    desk.ok("apply conf.d --prune").says("nothing to change");

    // A new exchange has no secrets to keep: every one has to be given, and is named with its line.
    let refused = desk.run("other", "apply export.toml").code(1).says("3 mistakes");
    for part in ["tenant \"acme\", settings.token", "connection \"own\", settings.token", "connection \"own\", proxy"] {
        assert!(
            refused.err.lines().any(|line| line.contains("export.toml:") && line.contains(part)),
            "{part}: {}",
            refused.err
        );
    }
    let mut whole = export.clone();
    for (at, canary) in [
        ("user:pass@proxy", ""),
        ("token = \"*** set ***\"\nurl = \"https://feeds", "token = \"canary-tenant-5e1d\"\nurl = \"https://feeds"),
        ("token = \"*** set ***\"\nurl = \"https://own", "token = \"canary-own-77aa\"\nurl = \"https://own"),
        ("*** set ***@", "user:canary-proxy-91c0@"),
    ] {
        if !canary.is_empty() {
            assert!(whole.contains(at), "{at}: {whole}");
            whole = whole.replace(at, canary);
        }
    }
    desk.put("whole.toml", &whole);
    desk.run("other", "apply whole.toml").code(0);
    assert_eq!(desk.run("other", "export").code(0).out, export);
}

#[test]
fn a_difference_is_shown_both_ways() {
    let desk = Desk::new();
    desk.ok("apply site.toml");
    let edited = desk
        .site()
        .replace("max_tlp = \"red\"", "max_tlp = \"amber\"")
        .replace("name = \"ours\"", "name = \"others\"")
        .replace("token = \"canary-own-77aa\"", "token = \"canary-tenant-5e1d\"");
    desk.put("edited.toml", &edited);
    let diff = desk.run("data", "diff edited.toml").code(3);
    for part in [
        "~ sharing \"levels → addresses → block-ip\"\n    max_tlp: \"red\" → \"amber\"",
        "+ guard \"others\"",
        "- guard \"ours\"",
        "    settings.token: *** set *** → *** set ***",
        "4 differ, 11 do not",
    ] {
        assert!(diff.out.contains(part), "{part}\n{}", diff.out);
    }
    let changes = desk.run("data", "diff edited.toml --format json").code(3).json();
    assert_eq!(changes["changes"].as_array().unwrap().len(), 4);
    desk.ok("apply edited.toml");
    desk.run("data", "diff edited.toml").code(3).says("- guard \"ours\"");
    // Nobody can be asked here.
    desk.run("data", "apply edited.toml --prune").code(2).says("- guard \"ours\"").says("--yes");
    desk.ok("apply edited.toml --prune --yes").says("- guard \"ours\"");
    desk.ok("diff edited.toml");
    // A template that came to nothing is no wish.
    for nothing in ["", "# nothing\n", "[policy]\n"] {
        desk.put("empty.toml", nothing);
        desk.run("data", "apply empty.toml --prune --yes").code(1).says("hold nothing");
    }
    desk.ok("diff edited.toml");
    desk.put("wrong.toml", "[[rule]]\nname = \"x\"\nwhen = \"kind =\"\n");
    desk.run("data", "diff wrong.toml").code(1).says("wrong.toml:3");
}

#[test]
fn no_secret_lies_readable_in_the_data_directory() {
    let desk = Desk::new();
    desk.ok("apply site.toml").says("made the key file");
    desk.ok("backup copy.db");
    fs::create_dir(desk.at("backup")).unwrap();
    fs::rename(desk.at("copy.db"), desk.at("backup/copy.db")).unwrap();
    for canary in CANARIES {
        assert!(!desk.holds("data", canary) && !desk.holds("backup", canary), "{canary}");
    }
    assert!(desk.holds("data", "sealed:") && desk.holds("backup", "sealed:"));
    desk.ok("token list");
    let audit = desk.ok("status --format json").out;
    assert!(!audit.contains("sealed:"));

    // The key is exchanged; what it opened before opens after, old text is gone, and without the key nothing is lost.
    let old = desk.read("keys/key");
    let old_id = old.lines().find(|line| !line.starts_with('#')).unwrap().split(' ').next().unwrap().to_owned();
    assert!(desk.holds("data", &old_id));
    desk.ok("secret rotate").says("3 secrets");
    assert!(!desk.holds("data", &old_id), "sealed anew, and the old bytes wiped");
    assert!(desk.read("keys/key").contains(&old_id), "for backups");
    desk.ok("secret rotate --forget-old");
    assert!(!desk.read("keys/key").contains(&old_id));
    desk.ok("apply site.toml").says("nothing to change");

    fs::rename(desk.at("keys/key"), desk.at("away")).unwrap();
    desk.ok("status");
    desk.ok("pull levels");
    desk.run("data", "pull own").code(1).says("is not there").says("put it back");
    desk.put("export.toml", &desk.ok("export").out);
    desk.run("data", "apply export.toml").code(1).says("put it back, or give the secret again");
    assert!(!desk.at("keys/key").exists());
    fs::rename(desk.at("away"), desk.at("keys/key")).unwrap();
    desk.ok("apply site.toml").says("nothing to change");
}

/// A connector that reads its secret when it is opened must not keep the exchange from starting.
#[test]
fn an_exchange_without_its_key_starts_whatever_its_connectors_are() {
    let desk = Desk::new();
    desk.put(
        "hook.toml",
        r#"
[[connection]]
name = "soc"
connector = "webhook"
settings = { url = "https://soc.example/hook", secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" }

[[connection]]
name = "isac"
connector = "taxii"
settings = { url = "https://taxii.example/taxii2/", username = "us", password = "canary-own-77aa" }

[[connection]]
name = "old-isac"
connector = "taxii1"
settings = { url = "https://taxii.example/poll", collection = "c", username = "us", password = "canary-own-77aa" }

[[connection]]
name = "osint"
connector = "misp-feed"
settings = { url = "https://misp.example/feed/", token = "canary-own-77aa" }

[[target]]
name = "soc"
connection = "soc"
first_fill = "allow"

[[rule]]
name = "all"
when = "reputation >= 1"

[[sharing]]
source = "any"
rule = "all"
target = "soc"
"#,
    );
    desk.ok("apply hook.toml").says("made the key file");
    desk.ok("indicator add 203.0.113.9");
    fs::remove_file(desk.at("keys/key")).unwrap();
    desk.ok("status");
    desk.run("data", "pull --all").code(1).says("is not there");
    // Nothing was sent, so nothing is open.
    let pass = desk.run("data", "share soc --format json").code(1);
    assert!(pass.out.contains(r#""accepted":0,"refused":0,"unknown":0,"deferred":1"#), "{}", pass.out);
}

#[test]
fn secrets_stored_before_there_was_a_key_are_sealed_at_the_next_start() {
    let desk = Desk::new();
    desk.put("plain.toml", &desk.site().replace("canary-own-77aa", "env:NOWHERE_BUT_HERE"));
    desk.ok("apply plain.toml");
    {
        let store = store::Store::open(&desk.at("data")).unwrap();
        let doc = store.doc("connection", "own").unwrap().unwrap();
        let body = doc.body.replace("env:NOWHERE_BUT_HERE", "canary-own-77aa");
        // Several times over, so that there are free pages and a log with it.
        for n in 0..50 {
            let padded = body.replace("\"x\"", &format!("\"x{}\"", "y".repeat(n * 100)));
            store.put_doc("connection", "own", &padded, Timestamp::EPOCH).unwrap();
        }
        store.put_doc("connection", "own", &body, Timestamp::EPOCH).unwrap();
    }
    assert!(desk.holds("data", "canary-own-77aa"), "or this test shows nothing");
    desk.ok("status").says("1 secrets of the data directory were sealed");
    assert!(!desk.holds("data", "canary-own-77aa"));
    let started = desk.ok("status");
    assert!(!started.err.contains("were sealed"), "{}", started.err);
    desk.ok("apply site.toml").says("nothing to change");
}

#[test]
fn a_kept_secret_goes_nowhere_else() {
    let desk = Desk::new();
    desk.ok("apply site.toml");
    let export = desk.ok("export").out;
    for (from, to, words) in [
        (
            "https://own.example/list.csv",
            "https://evil.example/list.csv",
            "connection \"own\", settings.token: give the secret again",
        ),
        ("https://own.example/list.csv", "https://own.example:8443/list.csv", "give the secret again"),
        ("https://own.example/list.csv", "http://own.example/list.csv", "give the secret again"),
        (
            "https://feeds.example/a.txt",
            "https://evil.example/a.txt",
            "tenant \"acme\", settings.token: give the secret again",
        ),
        ("@proxy.example", "@evil.example", "connection \"own\", proxy: give the secret again"),
        (
            "[connection.settings]\nformat = \"text\"\nkind = \"auto\"\n\n",
            "[connection.settings]\nformat = \"text\"\nkind = \"auto\"\nurl = \"https://evil.example/\"\n\n",
            "is not at an address of tenant \"acme\", whose secret \"token\" it would be sent",
        ),
    ] {
        assert!(export.contains(from), "{from}\n{export}");
        desk.put("moved.toml", &export.replace(from, to));
        desk.run("data", "apply moved.toml").code(1).says(words).says("moved.toml:").says("nothing was changed");
    }
    desk.put("path.toml", &export.replace("/list.csv", "/other.csv"));
    desk.ok("apply path.toml");
    // A tenant's address moves the secret of a connection that uses it, although that connection is in no file.
    desk.put("first.toml", &desk.site());
    desk.ok("apply first.toml");
    desk.put(
        "own-secret.toml",
        "[[connection]]\nname = \"shared\"\nconnector = \"feed\"\ntenant = \"acme\"\nsettings = { format = \"text\", token = \
         \"canary-own-77aa\" }\n",
    );
    desk.ok("apply own-secret.toml");
    desk.put(
        "tenant.toml",
        "[[tenant]]\nname = \"acme\"\nsettings = { url = \"https://evil.example/\", token = \"canary-tenant-5e1d\" }\n",
    );
    desk.run("data", "apply tenant.toml").code(1).says("connection \"shared\", settings.token: give the secret again");
    desk.put("sealed.toml", "[[tenant]]\nname = \"acme\"\nsettings = { token = \"sealed:00:AAAA\" }\n");
    desk.run("data", "apply sealed.toml").code(1).says("sealed.toml:3").says("cannot be given");
}

#[test]
fn a_prune_says_what_it_means_and_does_it() {
    let desk = Desk::new();
    desk.ok("apply site.toml");
    desk.ok("pull levels");
    desk.ok("share --all");
    assert_eq!(desk.ok("list show block-ip").out.lines().count(), 3);
    assert_eq!(desk.read("out.txt").lines().filter(|line| !line.starts_with('#')).count(), 3);

    // A rule that a sharing needs cannot go: nothing is changed.
    let (before, rest) = desk.site().split_once("[[rule]]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let after = &rest[rest.find("[[sharing]]").unwrap()..];
    desk.put("ruleless.toml", &format!("{before}{after}"));
    desk.run("data", "apply ruleless.toml --prune --yes")
        .code(1)
        .says("no rule is called \"addresses\"")
        .says("nothing was changed");

    // Taking back first: the target stays, without its sharing, until a pass has emptied it.
    let fileless: String = {
        let site = desk.site();
        let target = site.find("[[target]]\nname = \"to-file\"").unwrap();
        let rule = site.find("[[rule]]").unwrap();
        let sharing = site.find("[[sharing]]\nsource = \"any\"").unwrap();
        let guard = site.find("[[guard]]").unwrap();
        format!("{}{}{}", &site[..target], &site[rule..sharing], &site[guard..])
    };
    desk.put("fileless.toml", &fileless);
    let kept = desk.ok("apply fileless.toml --prune --take-back --yes").says("- sharing \"any → addresses → to-file\"");
    assert!(kept.err.contains("\"to-file\" is kept until its 3 entries are taken back"), "{}", kept.err);
    desk.run("data", "share to-file --approve");
    assert_eq!(desk.read("out.txt").lines().filter(|line| !line.starts_with('#')).count(), 0);
    desk.ok("apply fileless.toml --prune --take-back --yes").says("- target \"to-file\"");

    // A connection and the served list: records are kept, the list is gone.
    let less: String = {
        let cut = |text: String, from: &str, to: &str| {
            let at = text.find(from).unwrap();
            let end = at + text[at..].find(to).unwrap();
            format!("{}{}", &text[..at], &text[end..])
        };
        let text = cut(fileless, "[[connection]]\nname = \"levels\"", "[[connection]]\nname = \"edge\"");
        let text = cut(text, "[[target]]\nname = \"block-ip\"", "[[rule]]");
        let text = cut(text, "[[sharing]]", "[[guard]]");
        text[..text.find("[[guard_exception]]").unwrap()].to_owned()
    };
    desk.put("less.toml", &less);
    let planned = desk.ok("apply less.toml --prune --dry-run");
    for part in [
        "- connection \"levels\"\n    its records are kept and age out",
        "- target \"block-ip\"\n    /lists/block-ip is no longer served",
        "- guard_exception",
    ] {
        assert!(planned.out.contains(part), "{part}\n{}", planned.out);
    }
    desk.ok("apply less.toml --prune --yes");
    desk.run("data", "list show block-ip").code(1);
    assert_eq!(desk.ok("indicator find --format json").json().as_array().map(Vec::len), Some(3), "they age out later");
    desk.ok("apply less.toml --prune --yes").says("nothing to change");

    // The same again, and the records end with the connection.
    let again = Desk::new();
    again.ok("apply site.toml");
    again.ok("pull levels");
    again.put("less.toml", &less.replace(&desk.0.path().canonicalize().unwrap().display().to_string(), "/nowhere"));
    again.ok("apply less.toml --prune --retract-records --yes").says("its records stop counting now");
    assert_eq!(again.ok("indicator find --format json").json().as_array().map(Vec::len), Some(0));
    again.run("data", "apply less.toml --retract-records").code(2);
}

#[test]
fn the_schema_is_as_committed() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/config.schema.json");
    let made = iocast::schema::text();
    if std::env::var_os("IOCAST_UPDATE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == committed,
        "{} is out of date; IOCAST_UPDATE=1 cargo test -p iocast writes it anew",
        path.display()
    );
}
