//! How fast documents that say what each value is become rows, on one core: MISP events, OpenIOC, STIX 1.

use crate::measure::{Sheet, rounds, thread_cpu_ms};
use crate::parsing::Forget;
use crate::taxii::{BAR, client, serve};
use crate::world::Fault;
use kit::feed::{FeedSpec, parse};
use serde_json::{Value, json};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Attributes of the pull that a plugin in use was measured with, and in a page.
const ATTRIBUTES: usize = 11_767;
const PAGE: usize = 1_000;
const ROUNDS: u32 = 15;
/// Microseconds of the processor an attribute cost the plugin misp 1.5.1 of a comparable exchange (BSD-3): its pull of such
/// pages by restSearch from a server on loopback, with requests, pydantic 2 and Python 3.11. As for TAXII, the base package is
/// replaced, nothing is stored, and this is the best of twelve rounds.
const PLUGIN_MICROS: f64 = 7.2;

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/feeds").join(path)
}

/// The pages of a search for attributes: those of published events as often as it takes, every domain with a name of its
/// own, each with what a search says of its event.
fn pages() -> Result<Vec<Vec<u8>>, Fault> {
    let mut published = Vec::new();
    for name in ["3f683153-718d-553a-9f11-83cb317e5974", "07511713-6275-5a4f-a563-5fb44b86d742"] {
        let text = std::fs::read(testdata(&format!("tweetfeed/misp/{name}.json")))?;
        published.push(serde_json::from_slice::<Value>(&text)?["Event"].take());
    }
    let mut all: Vec<Value> = Vec::new();
    for (n, event) in published.iter().cycle().enumerate() {
        let attributes = event["Attribute"].as_array().ok_or("no attributes")?;
        for attribute in attributes.iter().take(ATTRIBUTES - all.len()) {
            let mut attribute = attribute.clone();
            if attribute["type"] == "domain" {
                attribute["value"] = json!(format!("d{}.example.com", all.len()));
            }
            attribute["id"] = json!(all.len().to_string());
            attribute["event_id"] = json!(n.to_string());
            attribute["Event"] = json!({"id": n.to_string(), "info": event["info"], "org_id": "1", "distribution": "3",
                "orgc_id": "1", "uuid": event["uuid"]});
            all.push(attribute);
        }
        if all.len() == ATTRIBUTES {
            break;
        }
    }
    all.chunks(PAGE).map(|page| Ok(serde_json::to_vec(&json!({"response": {"Attribute": page}}))?)).collect()
}

/// Fetches every page and reads it.
fn pull(root: &str, n_pages: usize, spec: &FeedSpec) -> Result<Forget, Fault> {
    let http = client()?;
    let mut forget = Forget::default();
    for page in 0..n_pages {
        let response = http.get(&format!("{root}/page{page}")).send()?;
        parse(spec, BufReader::with_capacity(64 << 10, response.body), &mut forget)?;
    }
    Ok(forget)
}

fn attributes(sheet: &mut Sheet) -> Result<(), Fault> {
    let pages = pages()?;
    let (n_pages, bytes) = (pages.len(), pages.iter().map(Vec::len).sum::<usize>());
    let named = pages.into_iter().enumerate().map(|(n, page)| (format!("/page{n}"), (page, String::new())));
    let root = serve(|_| named.collect())?;
    let spec = FeedSpec::from_settings(&json!({"format": "misp"}))?;
    let forget = pull(&root, n_pages, &spec)?;
    if forget.rows as usize != ATTRIBUTES {
        return Err(format!("{} of {ATTRIBUTES} attributes taken", forget.rows).into());
    }
    let cpu = thread_cpu_ms();
    for _ in 0..ROUNDS {
        pull(&root, n_pages, &spec)?;
    }
    let millis = (thread_cpu_ms() - cpu) / f64::from(ROUNDS);
    let (micros, bar) = (millis * 1e3 / ATTRIBUTES as f64, PLUGIN_MICROS / BAR);
    sheet.put(
        "11,767 MISP attributes in pages of 1,000, fetched and mapped",
        format!("{micros:.2} µs CPU an attribute, {:.0} MB/s", bytes as f64 / millis / 1e3),
        format!("≤ {bar:.2} µs, a tenth of a plugin in use"),
        Some(micros <= bar),
        format!("the plugin: {PLUGIN_MICROS} µs, {:.1} ×", PLUGIN_MICROS / micros),
    );
    Ok(())
}

pub(crate) fn run(_: &Path, _: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    attributes(sheet)?;
    for (what, format, path, again) in [
        ("OpenIOC", "openioc", "openioc-mandiant/BlogPosts/4fdb0f45-8151-4941-a9e1-a31e21000659.ioc", "IndicatorItem"),
        ("STIX 1 XML", "stix1", "misp-stix/tests/test_attributes_collection_stix11.xml", "stix:Indicator"),
    ] {
        let body = repeated(&std::fs::read_to_string(testdata(path))?, again, 2_000)?;
        let spec = FeedSpec::from_settings(&json!({ "format": format }))?;
        let (read, took) = rounds(7, || parse(&spec, body.as_bytes(), &mut Forget::default()));
        let read = read?;
        let got =
            format!("{:.0} MB/s ({} rows, {} filtered)", body.len() as f64 / took.cpu / 1e3, read.rows, read.filtered);
        sheet.put(what, got, String::new(), None, String::new());
    }
    Ok(())
}

/// The document with its first element of this name `n` times.
fn repeated(text: &str, name: &str, n: usize) -> Result<String, Fault> {
    let (open, close) = (format!("<{name} "), format!("</{name}>"));
    let from = text.find(&open).ok_or("no such element")?;
    let to = from + text[from..].find(&close).ok_or("no such element")? + close.len();
    Ok(format!("{}{}{}", &text[..from], text[from..to].repeat(n), &text[to..]))
}
