//! What bodies come to, as tables: settings, body, the rows.

#![allow(clippy::needless_pass_by_value, reason = "tables of literals read better without a borrow in each line")]

use super::*;
use serde_json::json;

/// Everything a parser said, in words.
#[derive(Default)]
struct Heard {
    rows: Vec<String>,
    rejected: Vec<String>,
    filtered: Vec<String>,
}

impl Rows for Heard {
    fn row(&mut self, row: Observation) {
        let mut words = vec![row.kind.map_or("auto", IndicatorKind::as_str).to_owned(), row.value];
        let mut add = |name: &str, text: Option<String>| words.extend(text.map(|text| format!("{name}={text}")));
        add("reputation", row.reputation.map(|n| n.to_string()));
        add("confidence", row.confidence.map(|n| n.to_string()));
        add("severity", row.severity.map(|s| s.to_string()));
        add("tlp", row.tlp.map(|t| t.to_string()));
        add("tags", (!row.tags.is_empty()).then(|| row.tags.join("+")));
        add("first", row.first_seen.map(|t| t.to_string()));
        add("last", row.last_seen.map(|t| t.to_string()));
        add("modified", row.modified.map(|t| t.to_string()));
        add("expires", row.expires_at.map(|t| t.to_string()));
        add("comment", row.comment);
        add("link", row.link);
        self.rows.push(words.join(" "));
    }

    fn reject(&mut self, reason: &'static str, _sample: &str) {
        self.rejected.push(reason.into());
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        self.filtered.extend(std::iter::repeat_n(reason.to_owned(), n as usize));
    }
}

fn hear(settings: &serde_json::Value, body: &[u8]) -> Result<(Heard, ParseStats), ConnectorError> {
    let spec = FeedSpec::from_settings(settings).unwrap();
    let mut heard = Heard::default();
    let stats = parse(&spec, body, &mut heard)?;
    assert_eq!(stats.rows, heard.rows.len() as u64);
    assert_eq!(stats.rejected, heard.rejected.len() as u64);
    assert_eq!(stats.filtered, heard.filtered.len() as u64);
    // However the bytes arrive, the rows are the same.
    for size in [1, 5] {
        let mut crumbs = Heard::default();
        parse(&spec, std::io::BufReader::with_capacity(size, body), &mut crumbs)?;
        assert_eq!((&heard.rows, &heard.rejected, &heard.filtered), (&crumbs.rows, &crumbs.rejected, &crumbs.filtered));
    }
    Ok((heard, stats))
}

/// Rows, then `reject: reason` and `filter: reason`.
#[track_caller]
fn check(settings: serde_json::Value, body: impl AsRef<[u8]>, expect: &[&str]) {
    let (heard, _) = hear(&settings, body.as_ref()).unwrap();
    let mut all = heard.rows;
    all.extend(heard.rejected.iter().map(|reason| format!("reject: {reason}")));
    all.extend(heard.filtered.iter().map(|reason| format!("filter: {reason}")));
    assert_eq!(all, expect);
}

#[track_caller]
fn fails(settings: serde_json::Value, body: impl AsRef<[u8]>, says: &str) {
    match hear(&settings, body.as_ref()) {
        Err(ConnectorError::Unexpected(why)) => assert!(why.contains(says), "{why}"),
        Err(other) => panic!("{other}"),
        Ok((heard, _)) => panic!("{:?} {:?}", heard.rows, heard.rejected),
    }
}

#[test]
fn lists_of_values() {
    let text = || json!({"format": "text"});
    check(text(), "# head\n; head\n// head\n\n192.0.2.1\n  a.example \t\n", &["auto 192.0.2.1", "auto a.example"]);
    check(text(), "192.0.2.1\t7\r\n192.0.2.0/24 ; SBL1\r\n", &["auto 192.0.2.1", "auto 192.0.2.0/24"]);
    check(text(), "a.example   # why\nb.example#c\n", &["auto a.example", "auto b.example#c"]);
    check(
        text(),
        "http://a.example/#top\nhttp://a.example/x # note",
        &["auto http://a.example/#top", "auto http://a.example/x"],
    );
    check(text(), "http://a.example/x y\n", &["reject: text after the URL"]);
    check(text(), "*.a.example\n", &["domain a.example comment=listed as *.a.example"]);
    check(json!({"kind": "domain"}), "a.example", &["domain a.example"]);
    check(json!({"kind": "user_agent"}), "Evil Agent/1.0 (x; y)\n", &["user_agent Evil Agent/1.0 (x; y)"]);
    check(json!({"comments": ["%"]}), "% no\n#yes\n", &["auto #yes"]);
    check(
        json!({"reputation": 7, "tags": ["c2"], "tlp": "amber", "severity": "high", "confidence": 90}),
        "192.0.2.1",
        &["auto 192.0.2.1 reputation=7 confidence=90 severity=high tlp=amber tags=c2"],
    );
    check(text(), "", &[]);
    check(text(), "caf\u{e9}.example\n".as_bytes(), &["auto caf\u{e9}.example"]);
    check(text(), b"caf\xe9.example\n", &["reject: a value that is not UTF-8"]);
    check(text(), "\u{feff}192.0.2.1\n", &["auto 192.0.2.1"]);
}

#[test]
fn lists_in_the_shapes_block_lists_have() {
    let text = || json!({});
    check(
        text(),
        "127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 0.0.0.0\n0.0.0.0 a.example b.example # both\n",
        &["domain a.example", "domain b.example", "filter: local name", "filter: local name", "filter: local name"],
    );
    check(
        text(),
        "[Adblock Plus 2.0]\n! Title\n||a.example^\n||b.example^$important\n||c.example^$script\n@@||d.example^\n||e.example/x^\n||192.0.2.1^\n",
        &[
            "domain a.example",
            "domain b.example",
            "auto 192.0.2.1",
            "filter: conditional rule",
            "filter: exception rule",
            "filter: rule for part of a name",
        ],
    );
    check(
        text(),
        "address=/a.example/b.example/0.0.0.0\nserver=/c.example/\nlocal=/d.example/\nserver=/e.example/192.0.2.53\n",
        &["domain a.example", "domain b.example", "domain c.example", "domain d.example", "filter: forwarding rule"],
    );
    check(
        text(),
        "$TTL 300\n@ IN SOA localhost. root.localhost. (1 2 3 4 5)\na.example CNAME .\n*.a.example IN CNAME .\n24.0.2.0.192.rpz-ip CNAME .\n1.zz.rpz-nsip CNAME .\n",
        &[
            "domain a.example",
            "domain a.example comment=listed as *.a.example",
            "auto 192.0.2.0/24",
            "filter: zone directive",
            "filter: zone directive",
            "filter: unsupported policy trigger",
        ],
    );
    let hash = "d".repeat(64);
    check(
        text(),
        format!("{hash}  evil.exe\n{hash} *b.exe\n{hash}\n"),
        &[&format!("auto {hash} comment=evil.exe"), &format!("auto {hash} comment=b.exe"), &format!("auto {hash}")],
    );
}

#[test]
fn lists_with_fields() {
    check(
        json!({"separator": "tab", "reputation_column": "2"}),
        "192.0.2.1\t9\n192.0.2.2\tx\n",
        &["auto 192.0.2.1 reputation=9", "auto 192.0.2.2"],
    );
    check(json!({"reputation_column": "2"}), "192.0.2.1  9\n", &["auto 192.0.2.1 reputation=9"]);
    check(
        json!({"separator": ","}),
        "hxxp://a[.]example/x y,2018-07-02\n,x\n",
        &["auto hxxp://a[.]example/x y", "reject: no value"],
    );
    check(
        json!({"separator": "tab", "value": "1", "prefix_column": "3", "kind": "ipv4_net"}),
        "192.0.2.0\t192.0.2.255\t24\t9\n",
        &["ipv4_net 192.0.2.0/24"],
    );
}

#[test]
fn bodies_that_are_no_list() {
    for format in ["text", "csv"] {
        fails(json!({"format": format}), "<!DOCTYPE html><title>503</title>", "HTML");
        fails(json!({"format": format}), "{\"error\": \"quota\"}", "JSON");
        fails(json!({"format": format}), b"\x00\x01\x02", "binary");
    }
    fails(json!({"format": "json"}), "<html>", "HTML");
    fails(json!({"format": "ndjson"}), "<html>", "HTML");
    // Text that is no list says so row by row.
    check(json!({}), "Error: not found\n", &["auto Error:"]);
}

#[test]
fn a_long_line_and_a_binary_line_cost_one_row_each() {
    let long = "x".repeat(LINE_BYTES + 1);
    for format in ["text", "csv"] {
        let body = format!("192.0.2.1\n{long}\n192.0.2.2\n");
        check(json!({"format": format}), body, &["auto 192.0.2.1", "auto 192.0.2.2", "reject: line too long"]);
    }
    let mut body = format!("{}\n", "192.0.2.1\n".repeat(200)).into_bytes();
    body.extend_from_slice(b"a\0b\n");
    let (heard, _) = hear(&json!({}), &body).unwrap();
    assert_eq!((heard.rows.len(), heard.rejected), (200, vec!["binary data in the line".to_owned()]));
}

#[test]
fn tables() {
    let named = || json!({"format": "csv", "value": "ioc", "last_seen_column": "seen", "tags_columns": ["tags"], "comment_column": "gone"});
    check(
        named(),
        "seen,ioc,tags\n2026-01-31 10:00:00,a.example,\"x,y\"\n,\"b.example\",None\n2026-01-31\n",
        &["auto a.example tags=x+y last=2026-01-31T10:00:00Z", "auto b.example", "reject: no value"],
    );
    check(
        named(),
        "# x\n# \"seen\", \"ioc\", \"tags\"\n# Number of entries: 1\n\"2026-01-31\", \"a.example\", \"\"\n",
        &["auto a.example last=2026-01-31T00:00:00Z"],
    );
    fails(named(), "a,b\n1,2\n", "no column `ioc`; the columns are a, b");
    let numbered = json!({"format": "csv", "value": "2", "separator": ";"});
    check(numbered.clone(), "when;what\n1;192.0.2.1\n", &["auto 192.0.2.1"]);
    check(
        numbered,
        "1;192.0.2.1\n1;192.0.2.2;more\n1\n;;;\n",
        &["auto 192.0.2.1", "auto 192.0.2.2", "reject: no value"],
    );
    check(
        json!({"format": "csv", "values": {"sha256": "sha256", "md5": "md5"}}),
        "md5,sha256\nm,s\nm2,\n,\n",
        &["md5 m", "sha256 s", "md5 m2"],
    );
    check(
        json!({"format": "csv", "value": "v", "kind_column": "t", "kind_map": {"ip:port": "ipv4", "sha3": "skip", "FQDN": "domain"},
               "skip_if": {"status": "offline|unknown"}, "only_if": {"conf": "100"}}),
        "v,t,status,conf\n192.0.2.1:443,ip:port,online,100\na,sha3,online,100\na.example,fqdn,online,100\nb.example,url,Offline,100\n\
         c.example,url,online,50\nd,?,online,100\ne,,online,100\nf.example,Domain,online,100\n",
        &[
            "ipv4 192.0.2.1:443",
            "domain a.example",
            "domain f.example",
            "reject: no kind",
            "filter: unsupported kind",
            "filter: switched off by the source",
            "filter: switched off by the source",
            "filter: unsupported kind",
        ],
    );
    check(
        json!({"format": "csv", "value": "v", "tlp_column": "t"}),
        "v,t\na.example,white\nb.example,secret\n",
        &["auto a.example tlp=clear", "auto b.example tlp=red"],
    );
    check(json!({"format": "csv", "value": "1", "header": "none"}), "domain\n", &["auto domain"]);
}

#[test]
fn tables_that_nobody_described() {
    let csv = || json!({"format": "csv"});
    check(csv(), "2021-08-09 00:00:58,who,url,https://a.example,#x,https://t.example/1\n", &["auto https://a.example"]);
    check(csv(), "Name,MD5,SHA256\nx,m,\n", &["md5 m"]);
    check(csv(), "Type,Indicator,Name\nDomain,a[.]example,\n", &["auto a[.]example"]);
    check(
        csv(),
        "First Seen,Observed\n2018,http://a[.]example/m.dll\n2018,nothing\n",
        &["auto http://a[.]example/m.dll", "reject: no indicator in the row"],
    );
    check(csv(), "198.51.100.1\n198.51.100.2\n", &["auto 198.51.100.1", "auto 198.51.100.2"]);
    check(csv(), "# id,url,x\n1,http://a.example/,y\n", &["url http://a.example/"]);
    check(csv(), "Prefix,Type\n192.0.2.0/24, Block\n", &["auto 192.0.2.0/24"]);
    check(json!({"format": "csv", "kind": "sha256"}), "md5,sha256\nm,s\n", &["sha256 s"]);
}

#[test]
fn quotes_over_lines_and_stray_ones() {
    let csv = || json!({"format": "csv", "value": "v", "comment_column": "c", "header": "first"});
    check(
        csv(),
        "v,c\na.example,\"two\r\nlines \"\"x\"\"\"\nb.example,6\" pipe\n",
        &["auto a.example comment=two\nlines \"x\"", "auto b.example comment=6\" pipe"],
    );
    let mut body = String::from("v,c\na.example,\"open\n");
    for n in 0..100 {
        body.push_str(&format!("n{n}.example,x\n"));
    }
    let (heard, _) = hear(&csv(), body.as_bytes()).unwrap();
    assert_eq!((heard.rows.len(), heard.rejected), (100, vec!["quote that is never closed".to_owned()]));
    let hostile = "\"a,\"b\n".repeat(200_000);
    let spec = FeedSpec::from_settings(&csv()).unwrap();
    let mut heard = Heard::default();
    let ended = parse(&spec, hostile.as_bytes(), &mut heard);
    assert!(ended.is_err() || heard.rejected.len() <= 200_000);
}

#[test]
fn json_documents() {
    let json = |path: &str| json!({"format": "json", "path": path, "value": "ioc"});
    check(
        json(""),
        r#"[{"ioc":"a.example"},{"ioc":7},{"other":1},null,"b.example"]"#,
        &["auto a.example", "auto 7", "auto b.example", "reject: no value", "reject: not an object"],
    );
    for path in ["data.items", "$.data.items[*]", "data.items[]", "*.items"] {
        check(
            json(path),
            r#"{"n":1,"data":{"skip":[{"ioc":"no"}],"items":[{"ioc":"a.example"}]}}"#,
            &["auto a.example"],
        );
    }
    check(json("data.items"), r#"{"data":[{"items":[{"ioc":"a.example"}]},{"items":[]}]}"#, &["auto a.example"]);
    check(json(""), r#"{"count":1,"data":[{"ioc":"a.example"}]}"#, &["auto a.example"]);
    check(json("*"), r#"{"1":[{"ioc":"a.example"}],"2":[{"ioc":"b.example"}]}"#, &["auto a.example", "auto b.example"]);
    check(json("data"), r#"{"data":null}"#, &[]);
    check(json("data"), r#"{"data":[]}"#, &[]);
    check(json("data"), r#"{"data":{"ioc":"a.example"}}"#, &["auto a.example"]);
    check(
        json!({"format": "json", "values": {"net.hosts": "domain", "hash": "md5"}, "tags_columns": ["t"], "skip_if": {"off": "true"}}),
        r#"[{"net":{"hosts":["a.example","b.example"]},"hash":"m","t":["x","y"]},{"off":true,"hash":"n"},{"a.b":1,"net":[{"hosts":"c.example"}]}]"#,
        &[
            "md5 m tags=x+y",
            "domain a.example tags=x+y",
            "domain b.example tags=x+y",
            "domain c.example",
            "filter: switched off by the source",
        ],
    );
    check(
        json!({"format": "json"}),
        r#"{"iocs":[{"type":"x","url":"http://a.example/"},{"x":"192.0.2.1"}]}"#,
        &["url http://a.example/", "auto 192.0.2.1"],
    );
    check(json!({"format": "json", "value": "2"}), r#"[["x","a.example"]]"#, &["auto a.example"]);
    for (body, says) in [
        (r#"{"error":"no"}"#, "nothing at the path"),
        (r#"{"data":[1,2"#, "cut off"),
        (r#"{"data":[{"ioc":"a.exam"#, "cut off"),
        (r#"{"data":[]"#, "cut off"),
        (r#"{"data":[1,]}"#, "expected a value"),
        (r#"{"data":[1 2]}"#, "expected , or ]"),
        (r#"{"data":[]}{"data":[]}"#, "is the format ndjson"),
        (r#"{"data":[],"data":[]}"#, "twice"),
        ("", "empty body"),
        ("not json", "nothing at the path"),
    ] {
        if body == "not json" {
            assert!(hear(&json("data"), body.as_bytes()).is_err());
        } else {
            fails(json("data"), body, says);
        }
    }
    fails(json!({"format": "json"}), r#"{"error":"no"}"#, "no list");
}

#[test]
fn json_that_is_meant_to_hurt() {
    let json = || json!({"format": "json", "value": "v"});
    fails(json(), "[".repeat(1_000_000), "64 deep");
    fails(json(), format!("[{{\"v\":{}1{}}}]", "[".repeat(70), "]".repeat(70)), "64 deep");
    fails(json(), format!("[{{\"v\":\"{}\"}}]", "x".repeat(2 << 20)), "1 MiB");
    let many = (0..3).map(|_| format!("\"{}\"", "x".repeat(1_000_000))).collect::<Vec<_>>().join(",");
    fails(json(), format!("[{{\"v\":[{many},{many}]}}]"), "4 MiB");
    check(
        json(),
        r#"[{"v":"a","v":"b"},{"v":NaN},{"v":"\ud800"},{"v":1e400},{"v":"ok"}]"#,
        &[
            "auto ok",
            "reject: not readable as JSON",
            "reject: not readable as JSON",
            "reject: not readable as JSON",
            "reject: not readable as JSON",
        ],
    );
    // Which letter a byte was meant to be is a guess: good enough for a comment, not for a value.
    check(json(), b"[{\"v\":\"caf\xe9\"}]", &["reject: a value that is not UTF-8"]);
    // Cut anywhere, a document is refused whole.
    let body = r#"{"meta":{"a":[1,"x\"y",{}]},"data":[{"v":"a.example","n":-1.5e3},{"v":"b.example"}]}"#;
    let spec = FeedSpec::from_settings(&json!({"format": "json", "path": "data", "value": "v"})).unwrap();
    assert_eq!(parse(&spec, body.as_bytes(), &mut Heard::default()).unwrap().rows, 2);
    for end in 0..body.len() {
        assert!(parse(&spec, &body.as_bytes()[..end], &mut Heard::default()).is_err(), "{}", &body[..end]);
    }
}

#[test]
fn json_lines() {
    let body = "{\"cidr\":\"192.0.2.0/24\"}\r\n\n{\"type\":\"metadata\",\"records\":1}\n{\"cidr\":\"198.51";
    check(
        json!({"format": "ndjson", "value": "cidr", "skip_if": {"type": "metadata"}}),
        body,
        &["auto 192.0.2.0/24", "reject: not readable as JSON", "filter: switched off by the source"],
    );
}

#[test]
fn prose() {
    let report = "<html><p>It calls hxxps://a[.]example[.]com/x and 192.0.2[.]7.</p>\n\n* done\n";
    let (heard, _) = hear(&json!({"format": "extract"}), report.as_bytes()).unwrap();
    assert_eq!(heard.rows.len(), 2, "{:?}", heard.rows);
    let (heard, stats) = hear(&json!({"format": "extract", "kind": "ipv4"}), report.as_bytes()).unwrap();
    assert_eq!((heard.rows.len(), stats.filtered), (1, 1));
    // Longer than a piece: nothing is lost or cut where two pieces meet.
    let line = "the address 192.0.2.7 was seen, and then again much later in some other place\n";
    let times = 3 * PROSE_BYTES / line.len();
    let (heard, _) = hear(&json!({"format": "extract"}), line.repeat(times).as_bytes()).unwrap();
    assert_eq!(heard.rows.len(), times);
}

#[test]
fn settings_that_make_no_sense() {
    for (settings, says) in [
        (json!({"format": "xml"}), "format"),
        (json!({"kind": "hash"}), "kind"),
        (json!({"header": "second"}), "header"),
        (json!({"separator": "ab"}), "separator"),
        (json!({"path": "a[0]"}), "path"),
        (json!({"values": {"a": "hash"}}), "values"),
        (json!({"kind_map": {"a": "hash"}}), "kind_map"),
        (json!({"time_format": "iso"}), "time_format"),
        (json!({"reputation_column": "count"}), "numbers from 1"),
        (json!({"severity": "awful"}), "severity"),
        (json!({"formt": "text"}), "formt"),
    ] {
        let error = FeedSpec::from_settings(&settings).unwrap_err();
        assert!(error.contains(says), "{settings}: {error}");
    }
}

/// Real feeds, read as what they are and as what they are not: nothing panics, and every count adds up.
#[test]
fn real_feeds() {
    let mut files = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() > 50, "the real feeds are missing");
    let (mut read, mut rows, mut rejected) = (0, 0, 0);
    for path in files {
        let mut body = Vec::new();
        let packed = std::fs::File::open(&path).unwrap();
        let unpack = crate::decode::Unpack::default();
        crate::decode::unpack(Box::new(packed), &unpack).unwrap().read_to_end(&mut body).unwrap();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let (is_csv, is_text) = (extension == "csv", extension == "txt");
        for format in ["text", "csv", "json", "ndjson", "extract", "misp", "openioc", "stix", "stix1"] {
            let own = is_csv && format == "csv" || is_text && format == "text";
            if body.len() > 100_000 && !own {
                continue;
            }
            let spec = FeedSpec::from_settings(&json!({"format": format})).unwrap();
            let mut heard = Heard::default();
            match parse(&spec, body.as_slice(), &mut heard) {
                Ok(stats) => {
                    assert_eq!(stats.rows, heard.rows.len() as u64);
                    assert_eq!(stats.rejected, heard.rejected.len() as u64);
                    assert_eq!(stats.filtered, heard.filtered.len() as u64);
                    if own {
                        rows += stats.rows;
                        rejected += stats.rejected;
                    }
                    read += stats.read();
                }
                Err(error) => assert!(!own, "{}: {error}", path.display()),
            }
        }
    }
    // What is rejected are the few files whose layout the settings would have to say.
    assert!(read > 50_000 && rows > 20 * rejected, "{read} {rows} {rejected}");
}

/// Keeps what is read whole.
#[derive(Default)]
struct Hops(Vec<Vec<String>>);

impl Rows for Hops {
    fn row(&mut self, row: Observation) {
        self.0.push(row.hops);
    }
    fn reject(&mut self, reason: &'static str, sample: &str) {
        panic!("{reason}: {sample}");
    }
    fn filter(&mut self, reason: &'static str, _: u64) {
        panic!("{reason}");
    }
}

#[test]
fn hops_of_another_exchange_are_read() {
    let hops = |settings: serde_json::Value, body: &str| -> Vec<Vec<String>> {
        let mut hops = Hops::default();
        parse(&FeedSpec::from_settings(&settings).unwrap(), body.as_bytes(), &mut hops).unwrap();
        hops.0
    };
    let list = r#"[{"value":"192.0.2.1","kind":"ipv4","hops":["a","b"]},{"value":"192.0.2.2"},{"value":"192.0.2.3","hops":[]}]"#;
    let expect = [vec!["a".to_owned(), "b".to_owned()], vec![], vec![]];
    assert_eq!(hops(json!({ "format": "json" }), list), expect);
    assert_eq!(hops(json!({ "format": "json", "value": "value" }), list), expect);
    assert_eq!(hops(json!({ "format": "json", "hops_columns": [] }), list), [[""; 0]; 3]);
    let table = "value,via\n192.0.2.1,\"a,b\"\n192.0.2.2,\n";
    assert_eq!(hops(json!({ "format": "csv", "value": "value", "hops_columns": ["via"] }), table), expect[..2]);
}

#[test]
fn stix_with_what_the_feed_says_itself() {
    let object = |id: &str, pattern: &str| {
        json!({"type": "indicator", "id": format!("indicator--{id}"), "pattern": pattern, "labels": ["c2"]}).to_string()
    };
    let body = format!(
        "{{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{},{},{},5]}}",
        object("1", "[domain-name:value = 'a.example']"),
        object("2", "[ipv4-addr:value = '198.51.100.0/24']"),
        object("3", "[process:name = 'x']"),
    );
    let settings = json!({"format": "stix", "tags": ["ours"], "tlp": "amber", "reputation": 7});
    check(
        settings,
        &body,
        &[
            "domain a.example reputation=7 tlp=amber tags=c2+ours",
            "ipv4 198.51.100.0/24 reputation=7 tlp=amber tags=c2+ours",
            "reject: not a STIX object",
            "filter: unmappable pattern",
        ],
    );
    check(
        json!({"format": "stix", "kind": "ipv4_net"}),
        &body,
        &[
            "ipv4 198.51.100.0/24 tags=c2",
            "reject: not a STIX object",
            "filter: another kind",
            "filter: unmappable pattern",
        ],
    );
    fails(json!({"format": "stix"}), "{\"error\": \"no\"}", "neither a bundle");
}

/// XML or JSON is told apart however the bytes arrive, whatever stands before, and in UTF-16 too.
#[test]
fn stix_is_told_apart_by_how_it_begins() {
    let json = "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{\"type\":\"indicator\",\"id\":\"indicator--1\",\
                \"pattern\":\"[domain-name:value = 'a.example']\"}]}";
    let xml = "<stix:STIX_Package xmlns:stix=\"http://stix.mitre.org/stix-1\" version=\"1.2\"></stix:STIX_Package>";
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
    };
    let stix = json!({"format": "stix"});
    for before in ["", " ", "\u{feff}", "\u{feff} \r\n", "      ", &" ".repeat(3_000)] {
        check(stix.clone(), format!("{before}{json}"), &["domain a.example"]);
        check(stix.clone(), format!("{before}{xml}"), &[]);
        for page in ["<!DOCTYPE html><html>", "<!doctype HTML PUBLIC>", "<HTML lang=en>", "<!-- x --><html>"] {
            fails(stix.clone(), format!("{before}{page}"), "HTML page");
        }
    }
    for big in [false, true] {
        check(stix.clone(), utf16(json, big), &["domain a.example"]);
        check(stix.clone(), utf16(&format!("\n {xml}"), big), &[]);
        fails(stix.clone(), utf16("<html>", big), "HTML page");
    }
    fails(stix.clone(), "<!DOCTYPE lolz [<!ENTITY lol 'lol'>]><a>&lol;</a>", "document type declaration");
    fails(stix, " ".repeat(5_000), "empty body");
}
