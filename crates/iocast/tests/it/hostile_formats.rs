//! The exchange formats as an enemy writes them, through the binary: STIX of both ages, MISP, OpenIOC.

use crate::hostile::{Case, Desk, MOST_KIB, ROWS, case, each};
use std::fmt::Write as _;

const STIX_1: &str = "<stix:STIX_Package xmlns:stix=\"http://stix.mitre.org/stix-1\" \
    xmlns:indicator=\"http://stix.mitre.org/Indicator-2\" xmlns:cybox=\"http://cybox.mitre.org/cybox-2\" \
    xmlns:address=\"http://cybox.mitre.org/objects#AddressObject-2\" \
    xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" version=\"1.2\">";
const OPENIOC: &str = "<ioc xmlns=\"http://schemas.mandiant.com/2010/ioc\" \
    id=\"00000000-0000-4000-8000-000000000000\"><definition>";
const CLEAR: &str = "{\"type\":\"marking-definition\",\"id\":\"marking-definition--9\",\"definition_type\":\"tlp\",\
    \"definition\":{\"tlp\":\"clear\"}}";
const EVENT: &str = "{\"Event\":{\"uuid\":\"5f0c1d4e-0000-4000-8000-000000000000\",\"info\":\"x\"";

fn address(n: u32) -> String {
    format!("45.7.{}.{}", n >> 8 & 255, n & 255)
}

/// An indicator of STIX 2 with more members.
fn object(n: u32, pattern: &str, more: &str) -> String {
    format!(
        "{{\"type\":\"indicator\",\"id\":\"indicator--00000000-0000-4000-8000-{n:012}\",\"pattern_type\":\"stix\",\
         \"created\":\"2026-01-01T00:00:00Z\",\"modified\":\"2026-01-01T00:00:00Z\",\"pattern\":\"{pattern}\"{more}}}"
    )
}

fn plain(n: u32) -> String {
    object(n, &format!("[ipv4-addr:value = '{}']", address(n)), "")
}

fn bundle(objects: &[String]) -> Vec<u8> {
    format!("{{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{}]}}", objects.join(",")).into_bytes()
}

/// The feed as ever, and more objects.
fn and(more: &[String]) -> Vec<u8> {
    let mut all: Vec<String> = (0..ROWS).map(plain).collect();
    all.extend_from_slice(more);
    bundle(&all)
}

/// The feed in a format: as many addresses.
fn feed(format: &str, rows: u32) -> Vec<u8> {
    let mut text = String::new();
    match format {
        "stix" => return bundle(&(0..rows).map(plain).collect::<Vec<_>>()),
        "misp" => {
            let attribute = |n| format!("{{\"type\":\"ip-dst\",\"to_ids\":true,\"value\":\"{}\"}}", address(n));
            let all: Vec<String> = (0..rows).map(attribute).collect();
            let _ = write!(text, "{EVENT},\"Attribute\":[{}]}}}}", all.join(","));
        }
        "openioc" => {
            text.push_str(OPENIOC);
            text.push_str("<Indicator operator=\"OR\">");
            for n in 0..rows {
                let _ = write!(
                    text,
                    "<IndicatorItem condition=\"is\"><Context document=\"Network\" search=\"Network/DNS\"/>\
                     <Content type=\"string\">n{n}.example.net</Content></IndicatorItem>"
                );
            }
            text.push_str("</Indicator></definition></ioc>");
        }
        _ => {
            text.push_str(STIX_1);
            text.push_str("<stix:Indicators>");
            for n in 0..rows {
                let _ = write!(
                    text,
                    "<stix:Indicator id=\"x:i{n}\" xsi:type=\"indicator:IndicatorType\"><indicator:Observable>\
                     <cybox:Object><cybox:Properties xsi:type=\"address:AddressObjectType\" category=\"ipv4-addr\">\
                     <address:Address_Value condition=\"Equals\">{}</address:Address_Value></cybox:Properties>\
                     </cybox:Object></indicator:Observable></stix:Indicator>",
                    address(n)
                );
            }
            text.push_str("</stix:Indicators></stix:STIX_Package>");
        }
    }
    text.into_bytes()
}

/// Many indicators in one pattern, and long texts beside it.
fn wide(n: u32, more: &str) -> String {
    let all: Vec<String> = (0..1_500).map(|at| format!("ipv4-addr:value = '{}'", address(at % ROWS))).collect();
    let labels: Vec<String> = (0..250).map(|at| format!("\"{at}{}\"", "t".repeat(200))).collect();
    let (labels, long) = (labels.join(","), "y".repeat(4_000));
    object(n, &format!("[{}]", all.join(" OR ")), &format!(",\"description\":\"{long}\",\"labels\":[{labels}]{more}"))
}

const FILES: &[Case] = &[
    case("stix", "two lists of objects", || b"{\"objects\":[],\"objects\":[]}".to_vec(), "failed", "twice", 0),
    case(
        "stix",
        "a million tiny objects",
        || [&b"{\"objects\":[{}"[..], &b",{}".repeat(1_000_000), b"]}"].concat(),
        "suspect",
        "rejected",
        0,
    ),
    case("stix", "deep", || b"{\"a\":".repeat(100_000), "failed", "64 deep", 0),
    case("stix", "bundles in bundles", || b"{\"type\":\"bundle\",\"objects\":[".repeat(30), "failed", "cut off", 0),
    case(
        "stix",
        "something after the end",
        || [feed("stix", 50), b"x".to_vec()].concat(),
        "failed",
        "after the STIX",
        0,
    ),
    case("stix", "HTML", || b"<!DOCTYPE html><html>log in</html>".to_vec(), "failed", "HTML page", 0),
    case("stix", "HTML after blanks", || [vec![b'\n'; 5_000], b"<html>".to_vec()].concat(), "failed", "HTML page", 0),
    case("stix", "entities", || b"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_vec(), "failed", "declaration", 0),
    case("stix", "an error", || b"{\"error\":\"quota\"}".to_vec(), "failed", "neither a bundle", 0),
    case(
        "stix",
        "UTF-16",
        || {
            let text = String::from_utf8(feed("stix", ROWS)).unwrap();
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        },
        "success",
        "",
        0,
    ),
    case(
        "stix",
        "half characters, no numbers, no text",
        || {
            and(&[
                plain(200).replace("45.7", "\\ud800"),
                object(201, "[ipv4-addr:value = '45.8.0.1']", ",\"confidence\":1e999"),
                object(202, "[url:value = 'http://a.example/\\u0000']", ""),
                object(203, &format!("[{}x:y = 1]", "(".repeat(60_000)), ""),
                object(204, &"x".repeat(200_000), ""),
                object(205, "[ipv4-addr:value = '45.8.0.5']", ",\"type\":\"malware\""),
                object(206, "[ipv4-addr:value = '45.8.0.6']", ",\"confidence\":-1e308"),
                "7".to_owned(),
                "\"\\udfff\"".to_owned(),
            ])
        },
        "suspect",
        "rejected",
        0,
    ),
    case("stix", "wide patterns with long texts", || and(&[0; 20].map(|_| wide(300, ""))), "success", "", 0),
    case(
        "stix",
        "wide patterns that wait for their markings",
        || {
            let mut all = [0; 20].map(|_| wide(300, ",\"object_marking_refs\":[\"marking-definition--9\"]")).to_vec();
            all.push(CLEAR.to_owned());
            and(&all)
        },
        "success",
        "",
        0,
    ),
    case("misp", "events in events", || b"{\"Event\":".repeat(30), "failed", "events in each other", 0),
    case("misp", "no event", || b"{\"message\":\"no\"}".to_vec(), "failed", "no MISP event", 0),
    case(
        "misp",
        "a million tiny attributes",
        || format!("{EVENT},\"Attribute\":[{{}}{}]}}}}", ",{}".repeat(1_000_000)).into_bytes(),
        "suspect",
        "rejected",
        0,
    ),
    case(
        "misp",
        "galaxies without end",
        || {
            let galaxy = ",{\"GalaxyCluster\":[{\"tag_name\":\"a\"}]}".repeat(300_000);
            let good = String::from_utf8(feed("misp", ROWS)).unwrap();
            good.replace("\"Attribute\":", &format!("\"Galaxy\":[{{}}{galaxy}],\"Attribute\":")).into_bytes()
        },
        "success",
        "",
        0,
    ),
    case(
        "misp",
        "an attribute of 15 MiB",
        || {
            let good = String::from_utf8(feed("misp", ROWS)).unwrap();
            let bomb = format!("\"x\":[[]{}],\"type\"", ",[]".repeat(5_000_000));
            good.replacen("\"type\"", &bomb, 1).into_bytes()
        },
        "success",
        "",
        0,
    ),
    case("stix1", "deep", || [STIX_1.as_bytes(), &b"<a>".repeat(100_000)].concat(), "failed", "64 deep", 0),
    case("stix1", "entities", || b"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_vec(), "failed", "declaration", 0),
    case(
        "stix1",
        "a comment of 20 MiB",
        || [STIX_1.as_bytes(), b"<!--", &vec![b'x'; 20 << 20]].concat(),
        "failed",
        "8 MiB",
        0,
    ),
    case(
        "stix1",
        "attributes without end",
        || {
            let names: Vec<String> = (0..250).map(|n| format!("a{n}=\"\"")).collect();
            let element = format!("<a {}/>", names.join(" ")).repeat(12_000);
            let good = String::from_utf8(feed("stix1", ROWS)).unwrap();
            let bomb = format!("<stix:Indicators><stix:Indicator>{element}</stix:Indicator>");
            good.replacen("<stix:Indicators>", &bomb, 1).into_bytes()
        },
        "success",
        "",
        0,
    ),
    case("openioc", "deep", || [OPENIOC.as_bytes(), &b"<Indicator>".repeat(100_000)].concat(), "failed", "64 deep", 0),
    case("openioc", "HTML", || b"<html><body>log in</body></html>".to_vec(), "failed", "HTML", 0),
    case(
        "openioc",
        "a million tiny items",
        || {
            let good = String::from_utf8(feed("openioc", ROWS)).unwrap();
            let more = "<IndicatorItem/>".repeat(1_000_000);
            good.replacen("<Indicator operator=\"OR\">", &format!("<Indicator operator=\"OR\">{more}"), 1).into_bytes()
        },
        "success",
        "",
        0,
    ),
];

#[test]
fn a_hostile_document_withdraws_nothing() {
    each(FILES, 2, |case: &Case| {
        let desk = Desk::new(&format!("url = \"feed\", format = \"{}\"", case.format));
        desk.put("feed", &feed(case.format, ROWS));
        desk.settled();
        desk.put("feed", &(case.body)());
        desk.suffer(case.name, case.status, case.why, case.more);
        desk.put("feed", &feed(case.format, ROWS + 1));
        let back = desk.ok("pull --all --format json").json();
        assert_eq!(back[0]["status"], "success", "{}: {back}", case.name);
    });
}

/// What nobody can say the marking of is not shared any more; that a million are named takes no memory.
#[test]
fn markings_without_end() {
    let desk = Desk::new("url = \"feed\", format = \"stix\"");
    let one = |n: u32| {
        let marks: Vec<String> = (0..900).map(|at| format!("\"marking-definition--{n}-{at}\"")).collect();
        object(n, "[ipv4-addr:value = '45.7.0.1']", &format!(",\"object_marking_refs\":[{}]", marks.join(",")))
    };
    desk.put("feed", &and(&(0..1_000).map(one).collect::<Vec<_>>()));
    desk.ok("apply site.toml");
    let ran = desk.ok("pull --all --format json");
    assert!(ran.peak < MOST_KIB, "{} KiB", ran.peak);
    desk.ok("share --all --approve");
    let list = desk.list();
    assert!(list.len() == ROWS as usize - 1 && !list.contains(&"45.7.0.1".to_owned()), "{list:?}");
}
