//! How fast documents that say what each value is become rows, on one core: MISP events, OpenIOC, STIX 1.

use crate::measure::{Sheet, against, rounds};
use crate::parsing::Forget;
use crate::world::Fault;
use kit::feed::{FeedSpec, parse};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Attributes of the pull that the peer's plugin was measured with, and how many it read in a second, by the clock.
const ATTRIBUTES: usize = 11_767;
const PEER_PER_SEC: f64 = 32_068.0;

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/feeds").join(path)
}

/// The answer of a search: published events, each a day's, as often as it takes, every attribute with a value of its own.
fn events() -> Result<Vec<u8>, Fault> {
    let mut published = Vec::new();
    for name in ["3f683153-718d-553a-9f11-83cb317e5974", "07511713-6275-5a4f-a563-5fb44b86d742"] {
        let text = std::fs::read(testdata(&format!("tweetfeed/misp/{name}.json")))?;
        published.push(serde_json::from_slice::<Value>(&text)?);
    }
    let (mut events, mut left) = (Vec::new(), ATTRIBUTES);
    while left > 0 {
        let mut event = published[events.len() % published.len()].clone();
        let Some(attributes) = event["Event"]["Attribute"].as_array_mut() else { return Err("no attributes".into()) };
        attributes.truncate(left);
        for attribute in attributes.iter_mut() {
            // One value of each is enough to be read as the kind it is.
            if attribute["type"] == "domain" {
                attribute["value"] = json!(format!("d{left}.example.com"));
            }
            left -= 1;
        }
        events.push(event);
    }
    Ok(serde_json::to_vec(&json!({ "response": events }))?)
}

pub(crate) fn run(_: &Path, _: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    let body = events()?;
    let spec = FeedSpec::from_settings(&json!({"format": "misp"}))?;
    let (forget, took) = rounds(15, || {
        let mut forget = Forget::default();
        parse(&spec, body.as_slice(), &mut forget).map(|_| forget)
    });
    let forget = forget?;
    if (forget.rows + forget.rejected) as usize != ATTRIBUTES {
        return Err(format!("{} of {ATTRIBUTES} attributes read", forget.rows + forget.rejected).into());
    }
    let bare = rounds(15, || serde_json::from_slice::<Value>(&body).is_ok()).1;
    let rate = ATTRIBUTES as f64 / took.cpu * 1e3;
    sheet.put(
        "11,767 MISP attributes",
        format!("{:.2} M attributes/s of CPU, {:.0} MB/s", rate / 1e6, body.len() as f64 / took.cpu / 1e3),
        format!("≥ 10 × {PEER_PER_SEC:.0}/s"),
        Some(rate >= 10.0 * PEER_PER_SEC),
        against("serde_json to a tree", took, bare),
    );
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
