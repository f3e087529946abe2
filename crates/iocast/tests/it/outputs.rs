//! What strangers write into text fields, and how it comes out at every door.

use crate::support::TestApp;
use axum::http::Method;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Texts that some reader or other would obey.
fn payloads() -> Vec<String> {
    let seeds = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "javascript:alert(1)",
        "</script><script>1</script>",
        "<iframe srcdoc='<b>'>",
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "{% raw %}",
        "${jndi:ldap://x/a}",
        "$(reboot)",
        "`reboot`",
        "; rm -rf /",
        "| cat /etc/passwd",
        "%0d%0aSet-Cookie: a=b",
        "%s%n%x",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;title\u{7}",
        "\u{1b}]8;;http://evil.example\u{7}link\u{1b}]8;;\u{7}",
        "\u{9b}31m",
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}P+q544e\u{1b}\\",
        "\u{8}\u{8}\u{8}",
        "\u{7f}",
        "\u{0}x",
        "a\r\nERROR forged line",
        "a\nb",
        "a\rb",
        "\u{85}next",
        "\u{2028}line",
        "\u{202e}gpj.exe",
        "\u{200b}hidden",
        "\u{feff}bom",
        "\u{2066}isolate",
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "=cmd|' /C calc'!A0",
        "\u{ff1d}1+1",
        "=HYPERLINK(\"http://evil.example\")",
        "a\",\"b",
        "\"",
        "'",
        "a;b",
        "a,b",
    ];
    let mut all: Vec<String> = Vec::new();
    for seed in seeds {
        all.extend([seed.to_owned(), format!("{seed} and more"), format!("before {seed}"), seed.repeat(3)]);
    }
    all
}

fn obeyed(text: &str) -> Option<char> {
    text.chars().find(|c| c.is_control() && *c != '\n')
}

/// Every cell of a table of CSV that a spreadsheet would take for a formula.
fn formulas(text: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
    assert!(!records.is_empty());
    let cells = records.iter().flat_map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>());
    cells.filter(|cell| kit::render::is_formula(cell)).collect()
}

/// Shown: what strangers write comes out as data at every door: JSON and NDJSON that can be read, CSV without formulas and
/// with whole rows, plain lists of one entry a line, STIX and MISP that can be read, tables and error output without a
/// byte that a terminal obeys. How: payloads (script, markup, templates, shells, escapes of a terminal, CR LF, changes of
/// direction, formulas, quotes) stand in the values, comments, tags and links of a feed; the binary pulls it and prints
/// it in each form, served lists are fetched in each format, the API is asked. (What a browser makes of them is shown
/// with the console.) Figures: 200 payloads x 4 fields x 11 outputs: formulas 0, control bytes in tables and error output 0.
#[test]
fn f36_payloads_come_out_as_data() {
    let all = payloads();
    assert!(all.len() >= 200, "{}", all.len());
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for (n, payload) in all.iter().enumerate() {
        let row = json!({
            "v": format!("45.9.{}.{}", n / 250, n % 250), "note": payload, "labels": [payload, "plain"], "ref": payload,
        });
        lines.push_str(&format!("{row}\n{}\n", json!({ "v": payload, "note": "a value", "labels": [], "ref": "" })));
    }
    std::fs::write(dir.path().join("feed.ndjson"), lines).unwrap();
    let formats = ["edl", "csv", "json", "stix", "misp"];
    let mut site = String::from(
        "[[connection]]\nname = \"source\"\nconnector = \"feed\"\nsettings = { url = \"feed.ndjson\", format = \"ndjson\", \
         value = \"v\", comment_column = \"note\", tags_columns = [\"labels\"], link_column = \"ref\" }\n\
         [[connection]]\nname = \"edge\"\nconnector = \"list\"\n[[rule]]\nname = \"all\"\nwhen = 'reputation >= 1'\n",
    );
    for format in formats {
        site.push_str(&format!(
            "[[target]]\nname = \"{format}\"\nconnection = \"edge\"\naction = \"publish\"\nfirst_fill = \"allow\"\n\
             params = {{ format = \"{format}\" }}\n[[sharing]]\nsource = \"any\"\nrule = \"all\"\ntarget = \"{format}\"\n"
        ));
    }
    std::fs::write(dir.path().join("site.toml"), site).unwrap();
    let run = |args: &[&str]| -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        command.current_dir(dir.path()).env_clear().stdin(Stdio::null());
        command.env("IOCAST_DATA", "data").env("IOCAST_FILES", dir.path().canonicalize().unwrap());
        let done = command.args(args).output().unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        assert!(matches!(done.status.code(), Some(0 | 3)), "{args:?}: {err}");
        assert_eq!(obeyed(&err), None, "{args:?}: {err:?}");
        (String::from_utf8(done.stdout).unwrap(), err)
    };
    run(&["apply", "site.toml"]);
    let (pulled, _) = run(&["pull", "--all", "--format", "json"]);
    let report: Value = serde_json::from_str(&pulled).unwrap();
    // Half of the rows are no indicators: a first run that is suspect, unless it is not over half.
    let status = report[0]["status"].as_str().unwrap();
    if status == "suspect" {
        run(&["run", "approve", &report[0]["run"].to_string()]);
    }
    run(&["share", "--all", "--approve"]);

    let list = |format: &str| run(&["indicator", "find", "", "--limit", "1000", "--format", format]).0;
    let shown = list("table");
    assert_eq!(obeyed(&shown), None);
    assert!(shown.lines().count() > 100, "{shown}");
    let rows: Vec<Value> = serde_json::from_str(&list("json")).unwrap();
    let lines: Vec<Value> = list("ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows, lines);
    assert_eq!(formulas(&list("csv")), Vec::<String>::new());
    for format in ["table", "csv"] {
        let (out, _) = run(&["pull", "--all", "--format", format]);
        assert!(format == "csv" || obeyed(&out).is_none(), "{out:?}");
    }
    let entries = rows.len();
    for format in formats {
        let (body, _) = run(&["list", "show", format]);
        match format {
            "edl" => {
                assert_eq!(body.lines().count(), entries, "an entry a line");
                assert_eq!(obeyed(&body), None);
            }
            "csv" => assert_eq!(formulas(&body), Vec::<String>::new()),
            _ => {
                let value: Value = serde_json::from_str(&body).unwrap();
                assert!(value.is_array() || value.is_object(), "{format}");
            }
        }
    }
    let (why, _) = run(&["indicator", "why", "45.9.0.1"]);
    assert_eq!(obeyed(&why), None, "{why:?}");
}

/// Shown: no header of an answer can be forged by what stands in a request or a name, and errors quote as JSON. How: the
/// API is asked for things named by each payload. Figures: 200 payloads x 3 addresses: answers are JSON, and no header holds
/// a control byte.
#[test]
fn f36_names_in_requests_forge_nothing() {
    let app = TestApp::new();
    for payload in payloads() {
        let name = kit::http::encode(&payload);
        for path in [
            format!("/lists/{name}"),
            format!("/api/v1/indicators/{name}"),
            format!("/api/v1/indicators?filter={name}"),
        ] {
            let reply =
                if path.starts_with("/lists") { app.ask(Method::GET, &path, "127.0.0.1", &[]) } else { app.get(&path) };
            for (header, value) in &reply.headers {
                assert!(!value.as_bytes().iter().any(u8::is_ascii_control), "{path}: {header}");
            }
            let kind = reply.header("content-type").unwrap_or_default().to_owned();
            assert!(kind.contains("json") || reply.body.is_empty(), "{path}: {kind}");
            let mut text = String::new();
            reply.body.as_slice().read_to_string(&mut text).unwrap();
            assert!(text.is_empty() || serde_json::from_str::<Value>(&text).is_ok(), "{path}: {text}");
        }
    }
}

/// Shown: what strangers pushed and the store kept comes out of the API as data: JSON that says what it is, is not guessed
/// at, and has one row a line where it is asked for lines. How: payloads stand in the comments, tags and links of what a
/// bucket is pushed, and in notices; every answer that quotes them is read. Figures: 200 payloads x 3 fields x 9 addresses:
/// answers that are no JSON, lines that are no row, and headers with a control byte: 0.
#[test]
fn f36_payloads_that_were_stored_come_out_of_the_api_as_data() {
    let app = TestApp::new();
    app.post("/api/v1/config/apply", &json!({ "connection": [{ "name": "partner", "connector": "api-source" }] })).ok();
    let all = payloads();
    for (at, chunk) in all.chunks(50).enumerate() {
        let item = |(n, payload): (usize, &String)| {
            let value = format!("45.9.{at}.{}", n + 1);
            json!({ "value": value, "reputation": 9, "tags": [payload, "plain"], "comment": payload, "link": payload })
        };
        let items: Vec<Value> = chunk.iter().enumerate().map(item).collect();
        let answer = app.post("/api/v1/connections/partner/observations", &json!({ "items": items })).ok();
        assert_eq!(answer["items"].as_array().map_or(0, Vec::len), chunk.len(), "{answer}");
    }
    let store = app.app.engine().unwrap().store();
    for payload in &all {
        let notice = store::NewNotice {
            kind: "drift",
            subject: payload,
            severity: "warning",
            text: payload,
            next_step: payload,
            path: "/api/v1/status",
            is_event: false,
        };
        store.note(&notice, intel::Timestamp::from_secs(1_780_000_000)).unwrap();
    }
    let bearer = format!("Bearer {}", app.token("read"));
    let mut quoted = 0;
    for path in [
        "/api/v1/indicators?limit=1000",
        "/api/v1/records?limit=1000",
        "/api/v1/indicators/why?value=45.9.0.1",
        "/api/v1/indicators/ipv4/45.9.0.1",
        "/api/v1/indicators/ipv4/45.9.0.1/records",
        "/api/v1/indicators/ipv4/45.9.0.1/history",
        "/api/v1/changes",
        "/api/v1/runs?limit=100",
        "/api/v1/notices",
    ] {
        for lines in [false, true] {
            let accept = if lines { "application/x-ndjson" } else { "application/json" };
            let reply = app.ask(Method::GET, path, "127.0.0.1", &[("accept", accept), ("authorization", &bearer)]);
            let text = reply.text();
            assert!(reply.status.is_success(), "{path}: {text}");
            let kind = reply.header("content-type").unwrap_or_default();
            assert!(kind.contains("json"), "{path}: {kind}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
            for (header, value) in &reply.headers {
                assert!(!value.as_bytes().iter().any(u8::is_ascii_control), "{path}: {header}");
            }
            assert!(!text.bytes().any(|byte| byte < 0x20 && byte != b'\n'), "{path}");
            if kind.contains("ndjson") {
                let rows = text.lines().map(serde_json::from_str::<Value>).filter(Result::is_ok).count();
                assert_eq!(rows, text.lines().count(), "{path}: a line is a row");
            } else {
                serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            quoted += usize::from(text.contains("script"));
            if path == "/api/v1/notices" {
                let turns =
                    |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                assert!(!text.contains(turns), "what people are told turns nothing round");
            }
        }
    }
    assert!(quoted >= 10, "only {quoted} answers quote what was pushed");
}

/// Shown: no line of the server's log is forged and none holds a byte that a terminal obeys, whatever a source answers. How:
/// the real server pulls sources that answer 400, 200 with rows that are none, and 302, each with payloads in body and
/// headers; its log is read as text. Figures: 200 payloads x 3 answers: forged lines 0, control bytes 0.
#[test]
fn f36_no_line_of_the_servers_log_is_forged() {
    let all = payloads();
    let sources: Vec<String> = all.chunks(4).map(|chunk| chunk.join(" ")).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bodies = sources.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.read_line(&mut first);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let n: usize = first.split(['/', ' ']).find_map(|part| part.parse().ok()).unwrap_or(0);
            let body = bodies.get(n).cloned().unwrap_or_default();
            let one: String = body.chars().map(|c| if matches!(c, '\r' | '\n' | '\0') { ' ' } else { c }).collect();
            let status = ["400 Bad", "200 OK", "302 Found"][n % 3];
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nLocation: http://127.0.0.1/{one}\r\nWWW-Authenticate: \
                 {one}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let site: String = (0..sources.len())
        .map(|n| {
            format!(
                "[[connection]]\nname = \"s{n}\"\nconnector = \"feed\"\ninterval = \"1d\"\nallow_private = \
                 [\"127.0.0.0/8\"]\nsettings = {{ url = \"http://127.0.0.1:{port}/{n}\", format = \"text\" }}\n"
            )
        })
        .collect();
    std::fs::write(dir.path().join("site.toml"), site).unwrap();
    let command = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iocast"));
        command.current_dir(dir.path()).env_clear().stdin(Stdio::null()).env("IOCAST_DATA", "data");
        command.env("IOCAST_LOG", "debug").args(args);
        command
    };
    let applied = command(&["apply", "site.toml"]).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let mut server =
        command(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (line_of, lines) = std::sync::mpsc::channel();
    let log = server.stderr.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(log).split(b'\n').map_while(Result::ok).try_for_each(|l| line_of.send(l))
    });
    let (mut pulls, mut said) = (0, 0);
    while pulls < sources.len() {
        let Ok(line) = lines.recv_timeout(Duration::from_secs(60)) else { break };
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.chars().find(|c| c.is_control()), None, "{line:?}");
        assert!(!line.starts_with("ERROR forged") && !line.starts_with("next"), "{line:?}");
        pulls += usize::from(line.contains(" pull ") || line.contains(" pull: "));
        said += usize::from(line.contains("error="));
    }
    let _ = server.kill();
    let _ = server.wait();
    assert!(
        pulls == sources.len() && said > 0,
        "{pulls} of {} sources were pulled, {said} said why not",
        sources.len()
    );
}
