//! medallion, a TAXII 2.1 server: pulled to its end, shared to, and seen through taxii2-client.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::exchange::{Running, start};
use super::{Bench, printed};

/// Objects to pull. medallion's cost grows with the square of their number.
const N_PULLED: usize = 500;
/// Objects to share.
const N_SHARED: usize = 40;
/// What its script calls them.
const INBOX: &str = "52892447-4d7e-4f70-b94d-d7f22742ff63";

struct Medallion {
    url: String,
    _running: Running,
}

fn medallion(bench: &Bench, n: usize, page_size: usize) -> Result<Medallion> {
    let mut command = bench.script("taxii_server.py");
    command.args([n.to_string(), page_size.to_string()]).stdout(Stdio::piped()).stderr(Stdio::null());
    let stdout = |child: &mut Child| child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let (running, port) = start(&mut command, stdout, |line| line.parse::<u16>().ok())?;
    Ok(Medallion { url: format!("http://127.0.0.1:{port}"), _running: running })
}

impl Medallion {
    fn connection(&self, name: &str, collection: &str) -> String {
        format!(
            "[[connection]]\nname = \"{name}\"\nconnector = \"taxii\"\nallow_private = [\"127.0.0.0/8\"]\n\
             settings = {{ url = \"{}/taxii2/\", username = \"iocast\", password = \"example-password\", \
             collection = \"{collection}\", page_size = 100 }}\n",
            self.url
        )
    }

    /// What taxii2-client sees in the inbox: objects by id.
    fn inbox(&self, bench: &Bench) -> Result<BTreeMap<String, Value>> {
        let url = format!("{}/api/collections/{INBOX}/", self.url);
        let text = printed(bench.script("taxii_view.py").args([&url, "iocast", "example-password"]))?;
        let objects: Vec<Value> = serde_json::from_str(&text).context("taxii_view.py printed no list")?;
        Ok(objects.into_iter().map(|object| (object["id"].as_str().unwrap_or_default().to_owned(), object)).collect())
    }
}

/// Everything is read, page borders in the middle of equal dates or not; a second pull changes nothing.
pub(super) fn pull(bench: &Bench) -> Result<String> {
    let server = medallion(bench, N_PULLED, 100)?;
    let mut exchange = bench.exchange("data")?;
    exchange.apply(&server.connection("taxii", "Indicators"))?;
    let counts = |report: &Value| {
        let count = |name: &str| report[0][name].as_u64().unwrap_or(u64::MAX);
        (count("read"), count("new"), count("changed"), count("rejected"))
    };
    let first = exchange.json(&["pull", "taxii"])?;
    let (read, new, _, rejected) = counts(&first);
    ensure!(new == N_PULLED as u64 && rejected == 0, "{N_PULLED} are there, and the pull says {first}");
    let second = exchange.json(&["pull", "taxii"])?;
    let (again, new_again, changed_again, _) = counts(&second);
    ensure!(new_again == 0 && changed_again == 0 && again > 0 && again < 100, "the second pull changes: {second}");
    Ok(format!(
        "medallion 3.0.0, pages of 100: {read} read, {new} new of {N_PULLED}; second pull {again} read at the last date, \
         0 new, 0 changed"
    ))
}

/// What was shared is there as we mean it, valid, and seen as revoked or gone when it was taken back.
pub(super) fn share(bench: &Bench) -> Result<String> {
    let server = medallion(bench, N_SHARED, 25)?;
    let mut exchange = bench.exchange("data")?;
    let config = |retract: &str, when: &str| {
        let (from, to) = (server.connection("taxii", "Indicators"), server.connection("inbox", "Inbox"));
        format!(
            "{from}\n{to}\n[[target]]\nname = \"inbox\"\nconnection = \"inbox\"\nparams = {{ retract = \"{retract}\" }}\n\n\
             [[rule]]\nname = \"all\"\nwhen = '{when}'\n\n\
             [[sharing]]\nsource = \"taxii\"\nrule = \"all\"\ntarget = \"inbox\"\n"
        )
    };
    exchange.apply(&config("revoke", "kind in (ipv4, domain, url, sha256)"))?;
    exchange.run(&["pull", "taxii"])?;
    exchange.run(&["share", "inbox", "--approve"])?;
    let shared = server.inbox(bench)?;
    let indicators = |objects: &BTreeMap<String, Value>| -> Vec<Value> {
        objects.values().filter(|object| object["type"] == "indicator").cloned().collect()
    };
    let all = indicators(&shared);
    ensure!(all.len() == N_SHARED, "{N_SHARED} were shared, and taxii2-client reads {}", all.len());
    for pattern in ["[ipv4-addr:value = '192.0.2.1']", "[domain-name:value = 'host-1.example.net']"] {
        ensure!(all.iter().any(|object| object["pattern"] == pattern), "no object has the pattern {pattern}");
    }
    let green = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb";
    let is_green =
        |object: &Value| object["object_marking_refs"].as_array().is_some_and(|refs| refs.iter().any(|id| id == green));
    ensure!(all.iter().all(is_green), "an object lost its marking TLP:GREEN");
    let maker = &all[0]["created_by_ref"];
    ensure!(shared.contains_key(maker.as_str().unwrap_or_default()), "the maker {maker} is not in the collection");
    let file = bench.dir.join("shared.json");
    fs::write(&file, serde_json::to_string(&shared.values().collect::<Vec<_>>())?).context("write shared.json")?;
    let judged = printed(bench.script("validate_stix.py").arg(&file))?;

    // Again: nothing to do, and nothing done.
    exchange.run(&["share", "inbox", "--approve"])?;
    ensure!(server.inbox(bench)? == shared, "sharing again changed something");

    exchange.apply(&config("revoke", "kind in (ipv4, domain, url)"))?;
    exchange.run(&["share", "inbox", "--approve"])?;
    let after = indicators(&server.inbox(bench)?);
    let hash = |object: &Value| object["pattern"].as_str().is_some_and(|pattern| pattern.contains("SHA-256"));
    let is_revoked = |object: &Value| object["revoked"] == true;
    ensure!(after.iter().all(|object| hash(object) == is_revoked(object)), "exactly the hashes must be revoked");
    let n_revoked = after.iter().filter(|object| is_revoked(object)).count();
    ensure!(n_revoked == N_SHARED / 4, "{n_revoked} are revoked");

    exchange.apply(&config("delete", "kind in (ipv4, domain)"))?;
    exchange.run(&["share", "inbox", "--approve"])?;
    let left = indicators(&server.inbox(bench)?);
    let is_url = |object: &Value| object["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("[url:"));
    ensure!(!left.iter().any(is_url), "a URL that was taken back is still there");
    ensure!(left.len() == N_SHARED * 3 / 4, "{} objects are left", left.len());
    Ok(format!(
        "medallion 3.0.0: {N_SHARED} shared and read by taxii2-client 2.3.0 with patterns and markings; stix2-validator: {}; \
         {n_revoked} taken back and seen revoked, {} deleted",
        judged.trim(),
        N_SHARED / 4
    ))
}
