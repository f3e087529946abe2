//! Bodies that are not what they should be: pages instead of lists, fields that changed, documents made to hurt.

use super::*;
use crate::connection::{Connection, Cx};
use crate::files::Files;
use crate::http::{Answer, Http, HttpConfig, NoWait};
use crate::testkit::Collected;
use intel::Timestamp;
use intel::absence::{PullStatus, RunEnd, RunShape, RunVerdict, pull_status};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

/// What a pull of a feed of this format makes of an answer: keys, candidates that are none, everything else; or the error.
fn pull(settings: &Value, answer: Answer) -> Result<(usize, usize, u64), ConnectorError> {
    let connection = FeedConnection::from_settings(settings.clone()).unwrap();
    let answer = Mutex::new(Some(answer));
    let http =
        Http::answering(HttpConfig::default(), Arc::new(NoWait), move |_| answer.lock().unwrap().take().unwrap());
    let (files, now) = (Files::default(), Timestamp::from_secs(1_790_000_000));
    let mut told = Collected::default();
    connection.source().unwrap().pull(None, &Cx { http: &http, files: &files, now, initial_from: now }, &mut told)?;
    Ok(counted(told))
}

fn counted(told: Collected) -> (usize, usize, u64) {
    let now = Timestamp::from_secs(1_790_000_000);
    let n = told.rows.len();
    let keys = told.rows.into_iter().filter_map(|row| row.normalise(now).ok()).count();
    (keys, n - keys + told.rejected.len(), told.filtered.values().sum())
}

fn settings(format: &str) -> Value {
    let mut settings = json!({ "url": "https://feeds.example/list", "format": format });
    if matches!(format, "csv" | "json" | "ndjson") {
        settings["value"] = json!("ioc");
    }
    settings
}

const FORMATS: [&str; 8] = ["text", "csv", "json", "ndjson", "stix", "stix1", "misp", "openioc"];

/// What answers in a feed's place: its type, and its body.
fn impostors() -> Vec<(&'static str, Vec<u8>)> {
    let page = |inside: &str| {
        format!(
            "<!DOCTYPE html><html><head><title>{inside}</title></head><body><a href=\"http://evil.example/\">{inside}</a>\n45.83.122.10\n</body></html>"
        )
    };
    let mut all: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for title in [
        "Sign in",
        "Captive portal",
        "This domain is for sale",
        "Just a moment...",
        "502 Bad Gateway",
        "Index of /",
        "Maintenance",
        "Access denied",
        "Account suspended",
        "Default web page",
    ] {
        // With its type, with none, as what it is not.
        for kind in ["text/html", "", "text/plain", "application/octet-stream"] {
            all.push((kind, page(title).into_bytes()));
        }
    }
    let plain = |text: &str| ("text/plain", text.as_bytes().to_vec());
    all.extend([
        plain("\u{feff}  \n<html><body>45.83.122.10</body></html>"),
        plain("<script>location='http://parked.example/'</script>"),
        plain("<br />\n<b>Warning</b>: mysql_connect() failed\n45.83.122.10\n"),
        plain("Warning: cannot connect\n<html>\n45.83.122.10\n</html>\n"),
        plain("Notice: Undefined index\n\n<!DOCTYPE HTML>\n<body>45.83.122.10"),
        plain("<HTML><META HTTP-EQUIV=refresh CONTENT=0>"),
        plain("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
        plain("<rss version=\"2.0\"><channel><item>45.83.122.10</item></channel></rss>"),
        plain("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
        plain("{\"error\": \"quota exceeded\", \"code\": 429}"),
        plain("{\"message\":\"Unauthorized\"}"),
        plain("{\"status\":\"ok\",\"data\":null}"),
        plain("[]"),
        plain("{}"),
        plain("null"),
        plain("\"\""),
        plain("0"),
        plain(""),
        plain("\n\n\n"),
        plain("# nothing today\n"),
        plain("success\n"),
        plain("Microsoft NCSI"),
        plain("OK"),
        plain("Access denied"),
        plain("error: invalid API key"),
        plain("Error 1015: You are being rate limited"),
        plain("404: Not Found"),
        plain("-----BEGIN PGP MESSAGE-----\nabc\n"),
        plain("version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 12\n"),
        ("application/json", b"{\"detail\":\"Not authenticated\"}".to_vec()),
        ("application/xhtml+xml", b"<html xmlns=\"http://www.w3.org/1999/xhtml\"/>".to_vec()),
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("image/gif", b"GIF89a\x01\x01".to_vec()),
        ("application/pdf", b"%PDF-1.7\n%\xe2\xe3\n".to_vec()),
        ("application/x-msdownload", b"MZ\x90\0\x03\0".to_vec()),
        ("application/zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("video/mp4", b"\0\0\0\x18ftypmp42".to_vec()),
    ]);
    all
}

/// Shown: what answers in a feed's place gives no indicator, in any format: web pages under four types (log-in, captive
/// portal, parked, error, index), pages behind a warning, XML, JSON errors, `[]`, nothing, one word, pictures, archives.
/// Pages, pictures and documents are named in the error. Words that pass for a list are rejected row by row, so that a
/// first run is suspect; nothing and `[]` are judged by volume (the engine's own test). How: each body as the answer of
/// a server, read as each of eight formats. Figures: at least 60 bodies x 8 formats: keys 0.
#[test]
fn f22_an_impostor_gives_no_indicator() {
    let all = impostors();
    assert!(all.len() >= 60, "{}", all.len());
    for (kind, body) in &all {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for format in FORMATS {
            let answer = Answer::new(200, body.clone()).header_pair("Content-Type", kind);
            match pull(&settings(format), answer) {
                Ok((keys, rejected, _)) => {
                    assert_eq!(keys, 0, "{format}: {kind}: {shown}");
                    let is_page = shown.to_ascii_lowercase().contains("<html") || kind.starts_with("image/");
                    assert!(!is_page, "{format}: {kind}: {shown}: taken for a list");
                    let is_nothing = rejected == 0 && body.len() < 40;
                    assert!(rejected > 0 || is_nothing || format == "ndjson", "{format}: {kind}: {shown}");
                }
                Err(ConnectorError::Unexpected(why)) => {
                    let is_named =
                        !shown.contains("<!DOCTYPE html>") || why.contains("HTML") || why.contains("document type");
                    assert!(is_named && why.len() < 300, "{format}: {kind}: {shown}: {why}");
                }
                Err(other) => panic!("{format}: {kind}: {shown}: {other}"),
            }
        }
    }
}

/// A feed of so many rows, one a line where the format has lines.
fn rows_of(format: &str, n: usize) -> Vec<String> {
    (0..n)
        .map(|n| {
            let ip = format!("45.7.{}.{}", n / 250, n % 250);
            match format {
                "csv" => format!("{ip},7,2026-01-01,a comment"),
                "json" | "ndjson" => {
                    format!(r#"{{"ioc":"{ip}","score":7,"seen":"2026-01-01","note":"a comment"}}"#)
                }
                "stix" => format!(
                    r#"{{"type":"indicator","id":"indicator--00000000-0000-4000-8000-{n:012}","pattern_type":"stix","created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '{ip}']"}}"#
                ),
                _ => format!(r#"{{"type":"ip-dst","to_ids":true,"value":"{ip}","comment":"c","timestamp":"1767225600"}}"#),
            }
        })
        .collect()
}

fn document(format: &str, rows: &[String]) -> String {
    match format {
        "csv" => format!("ioc,score,seen,note\n{}\n", rows.join("\n")),
        "json" => format!("[{}]", rows.join(",")),
        "ndjson" => rows.join("\n"),
        "stix" => format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{}]}}"#, rows.join(",")),
        _ => format!(
            r#"{{"Event":{{"uuid":"5f0c1d4e-0000-4000-8000-000000000000","info":"x","Attribute":[{}]}}}}"#,
            rows.join(",")
        ),
    }
}

/// Shown: when types or names of fields change, each candidate is still an indicator, rejected or filtered, or the whole
/// body is refused; and more than 1 % rejected makes a run partial. How: in feeds of 200 rows each field is renamed,
/// dropped, emptied, or given eight values of other types, in one row, in a tenth of them, or in all. Figures: 5 formats,
/// at least 600 mutations: stored + rejected + filtered = received.
#[test]
fn f28_a_changed_field_loses_no_row_silently() {
    const N: usize = 200;
    let mut n_mutations = 0;
    for format in ["csv", "json", "ndjson", "stix", "misp"] {
        let mut settings = settings(format);
        if matches!(format, "csv" | "json" | "ndjson") {
            settings["reputation_column"] = json!("score");
            settings["last_seen_column"] = json!("seen");
            settings["comment_column"] = json!("note");
        }
        let spec = {
            let mut only = settings.clone();
            only.as_object_mut().unwrap().remove("url");
            FeedSpec::from_settings(&only).unwrap()
        };
        let rows = rows_of(format, N);
        let fields: Vec<&str> = match format {
            "stix" => vec!["type", "id", "pattern_type", "created", "modified", "pattern"],
            "misp" => vec!["type", "to_ids", "value", "comment", "timestamp"],
            _ => vec!["ioc", "score", "seen", "note"],
        };
        let changes: [&str; 12] = [
            "rename",
            "drop",
            "null",
            "\"\"",
            "7",
            "-1.5e300",
            "true",
            "[]",
            "{}",
            "[\"a\"]",
            "\"=cmd|'x'!A0\"",
            "\"\\u0000\"",
        ];
        for field in &fields {
            for change in changes {
                for every in [N, 10, 1] {
                    let change_row = |n: usize, row: &String| -> String {
                        if !n.is_multiple_of(every) {
                            return row.clone();
                        }
                        if format == "csv" {
                            let mut cells: Vec<&str> = row.split(',').collect();
                            let at = fields.iter().position(|name| name == field).unwrap();
                            match change {
                                "drop" => drop(cells.remove(at)),
                                "rename" => cells.push("one more"),
                                other => cells[at] = other.trim_matches('"'),
                            }
                            return cells.join(",");
                        }
                        let mut object: Value = serde_json::from_str(row).unwrap();
                        let object = object.as_object_mut().unwrap();
                        match change {
                            "rename" => {
                                let value = object.remove(*field).unwrap();
                                object.insert(format!("{field}_v2"), value);
                            }
                            "drop" => drop(object.remove(*field)),
                            other => drop(object.insert((*field).into(), serde_json::from_str(other).unwrap())),
                        }
                        Value::Object(object.clone()).to_string()
                    };
                    let changed: Vec<String> = rows.iter().enumerate().map(|(n, row)| change_row(n, row)).collect();
                    let body = document(format, &changed);
                    n_mutations += 1;
                    let mut told = Collected::default();
                    // A body refused whole stores nothing: the engine drops what was handed over.
                    let Ok(stats) = parse(&spec, body.as_bytes(), &mut told) else { continue };
                    let what = format!("{format}: {field} {change} in 1 of {every}");
                    assert_eq!((stats.rows + stats.rejected) as usize, told.rows.len() + told.rejected.len(), "{what}");
                    let (keys, rejected, filtered) = counted(told);
                    assert_eq!(keys + rejected + filtered as usize, N, "{what}: {keys} {rejected} {filtered}");
                    let shape = RunShape {
                        end: RunEnd::Whole,
                        rows: keys as u64,
                        read: (keys + rejected) as u64,
                        rejected: rejected as u64,
                        complete: true,
                        may_be_empty: false,
                        strays: false,
                        addresses: 0,
                    };
                    let status = pull_status(&shape, &RunVerdict::Believed);
                    let is_partial = rejected * 100 > keys + rejected;
                    assert_eq!(status == PullStatus::Partial, is_partial, "{what}");
                }
            }
        }
    }
    assert!(n_mutations >= 600, "{n_mutations}");
}

/// Shown: no JSON document overflows the stack, fills memory or is half read: depth over 64, texts over 1 MiB and rows
/// over 4 MiB are refused, keys that come twice reject their row, and NaN, bad UTF-8, lone halves of characters and
/// numbers beyond all measure reject theirs; a byte order mark is passed over. How: each document read as JSON, NDJSON,
/// STIX, and MISP, whole and in crumbs, where both must say the same. Figures: at least 300 documents; panics 0, keys made of a
/// broken part 0.
#[test]
fn f32_no_document_hurts() {
    let mut documents: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, body: Vec<u8>| documents.push((name.to_owned(), body));
    for depth in [65, 100, 1_000, 100_000, 1_000_000] {
        add("lists in lists", vec![b'['; depth]);
        add("objects in objects", b"{\"a\":".repeat(depth));
        add("closed lists", [vec![b'['; depth], vec![b']'; depth]].concat());
        add("both", b"[{\"a\":".repeat(depth));
        add("deep in a row", [b"[{\"ioc\":".to_vec(), vec![b'['; depth], vec![b']'; depth], b"}]".to_vec()].concat());
    }
    add("a text of 2 MiB", [b"[{\"ioc\":\"".to_vec(), vec![b'x'; 2 << 20], b"\"}]".to_vec()].concat());
    add("a key of 2 MiB", [b"[{\"".to_vec(), vec![b'x'; 2 << 20], b"\":1}]".to_vec()].concat());
    add("a number of 2 MiB", [b"[{\"ioc\":".to_vec(), vec![b'9'; 2 << 20], b"}]".to_vec()].concat());
    add("a text that never ends", [b"[{\"ioc\":\"".to_vec(), vec![b'x'; 2 << 20]].concat());
    let mut keys = String::from("[{");
    for n in 0..1_000_000 {
        let _ = write!(keys, "\"{n}\":0,");
    }
    add("a million keys", [keys.as_bytes(), b"\"ioc\":\"45.0.0.1\"}]"].concat());
    let odd: [&[u8]; 24] = [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999999",
        b"-1e400",
        b"0x10",
        b"01",
        b"+1",
        b"1.",
        b".5",
        b"\"\\ud800\"",
        b"\"\\udfff x\"",
        b"\"\xff\xfe\"",
        b"\"\xc3\x28\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\\x\"",
        b"\"\\u12\"",
        b"\"a\nb\"",
        b"'a'",
        b"tru",
        b"undefined",
        b"/* */ 1",
        b"\"\x00\"",
    ];
    for odd in odd {
        for (before, after) in [
            (&b"["[..], &b"]"[..]),
            (b"[{\"ioc\":", b"}]"),
            (b"[{\"ioc\":\"45.0.0.1\",\"x\":", b"}]"),
            (b"{\"objects\":[", b"]}"),
            (b"{\"objects\":[{\"type\":\"indicator\",\"pattern\":", b"}]}"),
            (b"{\"Event\":{\"Attribute\":[", b"]}}"),
            (b"{\"Event\":{\"Attribute\":[{\"type\":\"ip-dst\",\"to_ids\":true,\"value\":", b"}]}}"),
            (b"", b""),
            (b"\xef\xbb\xbf[", b"]"),
            (b"\xef\xbb\xbf\xef\xbb\xbf[", b"]"),
            (b"[1,", b",2]"),
            (b"{\"a\":", b",\"a\":1}"),
        ] {
            add("odd", [before, odd, after].concat());
        }
    }
    for twice in [
        r#"[{"ioc":"45.0.0.1","ioc":"45.0.0.2"}]"#,
        r#"{"objects":[],"objects":[]}"#,
        r#"{"Event":{"Attribute":[],"Attribute":[]}}"#,
        r#"[{"ioc":"45.0.0.1"}"#,
        r#"[{"ioc":"45.0.0.1"}]]"#,
        r#"[{"ioc":"45.0.0.1"}]x"#,
        r#"[{"ioc" "45.0.0.1"}]"#,
        "[,]",
        "[1,]",
        "{,}",
        "]",
        "}",
    ] {
        add("grammar", twice.into());
    }
    for cut in 1..=40 {
        let whole = br#"[{"ioc":"45.0.0.1","x":[1,{"y":"z\"\u00e9"}]}]"#;
        add("cut", whole[..cut.min(whole.len() - 1)].to_vec());
    }
    assert!(documents.len() >= 300, "{}", documents.len());
    for (name, body) in &documents {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for format in ["json", "ndjson", "stix", "misp"] {
            let mut spec = settings(format);
            spec.as_object_mut().unwrap().remove("url");
            let spec = FeedSpec::from_settings(&spec).unwrap();
            let run = |size: usize| {
                let mut told = Collected::default();
                let end = parse(&spec, std::io::BufReader::with_capacity(size, &body[..]), &mut told);
                (end.map(drop).map_err(|error| error.to_string()), told)
            };
            let (end, told) = run(1 << 16);
            if body.len() < 1_000 {
                let crumbs = run(1);
                assert_eq!((end.is_ok(), &told.rows), (crumbs.0.is_ok(), &crumbs.1.rows), "{format}: {shown}");
            }
            if let Err(why) = &end {
                assert!(why.len() < 300, "{format}: {shown}: {why}");
            }
            let (keys, ..) = counted(told);
            let is_broken =
                matches!(name.as_str(), "cut" | "grammar") || name.contains("2 MiB") || name.contains("never ends");
            assert!(
                keys == 0
                    || end.is_err()
                    || !is_broken
                    || format == "ndjson"
                    || shown.contains("\"ioc\":\"45.0.0.1\",\"x\""),
                "{format}: {name}: {shown}"
            );
        }
    }
}

/// Shown: no list or table fills memory or is misread: a line over 64 KiB and one with NUL are one rejected row each, mixed
/// line ends end lines, a wrong separator is an error or rejects each row, and what looks like a formula is no
/// indicator. How: a good line among oddities, read as text and as a table, whole and in crumbs. Figures: at least 100 bodies;
/// the good line is found in each that is a list at all, and nothing else is.
#[test]
fn f34_no_list_or_table_hurts() {
    let mut n_bodies = 0;
    let long = "x".repeat(LINE_BYTES + 1);
    let oddities: Vec<String> = [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "=cmd|' /C calc'!A0",
        "\"=1+1\"",
        "a\0b",
        "\0",
        "\u{7f}",
        "\u{1b}[31m",
        "x\u{202e}y",
        "\"",
        "\"\"\"",
        "'",
        ",",
        ",,,,",
        ";",
        "|",
        "\\",
        "-",
        "--",
        "0",
        "1e9",
        "0x7f.1",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "::::",
        "http://",
        "http:///x",
        "javascript:1",
        "a b c",
        "%00",
        "\u{feff}x",
        "\u{200b}",
        "é",
        "例え",
        "*",
        "*.*",
        "@@||a^",
        "||",
        "##ad",
        "!",
        "//",
        "NULL",
        "null",
        "N/A",
        "undefined",
        "#REF!",
        "1,2,3",
        "a;b;c",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        long.clone(),
        "y".repeat(4 << 20),
        format!("\"{long}"),
        ",".repeat(10_000),
        "\"a\",".repeat(5_000),
        "a,".repeat(LINE_BYTES),
        "\u{10ffff}".repeat(500),
    ])
    .collect();
    for odd in &oddities {
        for (end, format) in [("\n", "text"), ("\r\n", "csv"), ("\r", "text"), ("\n", "csv")] {
            n_bodies += 1;
            let (head, good) = if format == "csv" { ("ioc,note", "45.83.122.10,fine") } else { ("", "45.83.122.10") };
            let body = format!("{head}{end}{good}{end}{odd}{end}");
            let mut spec = settings(format);
            spec.as_object_mut().unwrap().remove("url");
            let spec = FeedSpec::from_settings(&spec).unwrap();
            let shown: String = odd.chars().take(20).collect();
            let mut whole = None;
            for size in [1 << 16, 3] {
                let mut told = Collected::default();
                match parse(&spec, std::io::BufReader::with_capacity(size, body.as_bytes()), &mut told) {
                    Ok(_) => {
                        let (keys, rejected, filtered) = counted(told);
                        assert_eq!(keys, 1, "{format}: {shown:?}: {rejected} rejected, {filtered} filtered");
                        assert_eq!(
                            *whole.get_or_insert((keys, rejected, filtered)),
                            (keys, rejected, filtered),
                            "{shown:?}"
                        );
                    }
                    Err(ConnectorError::Unexpected(why)) => {
                        assert!(odd.contains('\0') && why.contains("binary"), "{format}: {shown:?}: {why}");
                    }
                    Err(other) => panic!("{format}: {shown:?}: {other}"),
                }
            }
        }
    }
    assert!(n_bodies >= 100, "{n_bodies}");
    for separator in [";", "|", "\t", " "] {
        let body = "ioc,note\n45.83.122.10,fine\n".replace(',', separator);
        let mut spec = settings("csv");
        spec["separator"] = json!("comma");
        spec.as_object_mut().unwrap().remove("url");
        let Ok(spec) = FeedSpec::from_settings(&spec) else {
            let mut plain = settings("csv");
            plain["separator"] = json!(",");
            plain.as_object_mut().unwrap().remove("url");
            let spec = FeedSpec::from_settings(&plain).unwrap();
            let error = parse(&spec, body.as_bytes(), &mut Collected::default()).unwrap_err().to_string();
            assert!(error.contains("ioc"), "{separator:?}: {error}");
            continue;
        };
        assert!(parse(&spec, body.as_bytes(), &mut Collected::default()).is_err(), "{separator:?}");
    }
}
