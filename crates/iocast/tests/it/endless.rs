//! Bodies that are far too large, and what they cost a process.

use crate::hostile::{Desk, Ran, Service, bomb, feed};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

/// By how much the most memory a process ever held may rise, in KiB.
const RISE_KIB: u64 = 64 << 10;

fn rises(case: &str, before: &Ran, ran: &Ran) {
    let rise = ran.peak.saturating_sub(before.peak);
    assert!(before.peak > 1_000 && ran.peak > 1_000, "{case}: memory was not seen");
    assert!(rise <= RISE_KIB, "{case}: {} KiB, {rise} more than before", ran.peak);
}

type Wire = (&'static str, &'static str, fn(&mut TcpStream) -> std::io::Result<()>, &'static str);

const WIRES: [Wire; 6] = [
    (
        "a list without end",
        "text",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
            let lines = feed("text", 60_000);
            loop {
                out.write_all(&lines)?;
            }
        },
        "larger than the limit of 512 MiB",
    ),
    (
        "10 GB, announced",
        "text",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")?;
            let lines = feed("text", 60_000);
            loop {
                out.write_all(&lines)?;
            }
        },
        "announces a body larger than the limit of 512 MiB",
    ),
    (
        "a bomb of 1:1000 without end, by encoding",
        "text",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")?;
            let member = bomb(8);
            loop {
                out.write_all(&member)?;
            }
        },
        "times its size",
    ),
    (
        "a bomb of 1:1000 without end, by itself",
        "text",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\n\r\n")?;
            let member = bomb(8);
            for _ in 0..100 {
                out.write_all(&member)?;
            }
            Ok(())
        },
        "times its size",
    ),
    (
        "one text without end",
        "json",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\n\r\n[{{\"value\":\"")?;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..100 {
                out.write_all(&piece)?;
            }
            Ok(())
        },
        "1 MiB",
    ),
    (
        "a pattern of a million terms",
        "stix",
        |out| {
            write!(out, "HTTP/1.1 200 OK\r\n\r\n")?;
            out.write_all(&pattern(1_000_000))
        },
        "1 MiB",
    ),
];

/// A bundle of one indicator with so many terms.
fn pattern(terms: usize) -> Vec<u8> {
    let mut text = String::from(
        "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{\"type\":\"indicator\",\"id\":\"indicator--1\",\
         \"pattern_type\":\"stix\",\"created\":\"2026-01-01T00:00:00Z\",\"modified\":\"2026-01-01T00:00:00Z\",\
         \"pattern\":\"[ipv4-addr:value = '45.0.0.1'",
    );
    text.push_str(&" OR ipv4-addr:value = '45.0.0.1'".repeat(terms - 1));
    text.push_str("]\"}]}");
    text.into_bytes()
}

/// Shown: a body without end, 10 GB announced, bombs of 1:1000 without end, one text without end and a STIX pattern of
/// 10^6 terms stop at their limits with a status that says so, cost at most 64 MiB of memory, give no indicator and leave
/// the place of the source where it was. How: the binary pulls, as a process of its own, from a server that makes
/// the bodies as it sends them; the system's own mark of the most memory ever held (`VmHWM`) is compared with that of a
/// healthy pull. Figures: 6 bodies; rise at most 64 MiB; the next good answer is "not modified" where there was one.
#[test]
fn f20_a_body_without_end_costs_little() {
    for (case, format, answer, why) in WIRES {
        let service = Service::start();
        let more = if format == "json" { ", value = \"value\"" } else { "" };
        let desk = Desk::new(&format!("url = \"http://127.0.0.1:{}/list\", format = \"{format}\"{more}", service.port));
        if format != "text" {
            // No list of this form has been read before: what is hostile comes first.
            desk.ok("apply site.toml");
            service.answers(Arc::new(|out| write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")));
            let before = desk.run("pull --all --format json");
            service.answers(Arc::new(answer));
            let ran = desk.run("pull --all --format json");
            rises(case, &before, &ran);
            let report = ran.json()[0].clone();
            assert!(report["status"] == "failed" || report["status"] == "suspect", "{case}: {report}");
            assert!(report["error"].as_str().unwrap().contains(why), "{case}: {report}");
            assert_eq!(report["new"], 0, "{case}: {report}");
            continue;
        }
        desk.ok("apply site.toml");
        let before = desk.ok("pull --all --format json");
        desk.ok("share --all --approve");
        let good = service.answer();
        service.answers(Arc::new(answer));
        let ran = desk.run("pull --all --format json");
        rises(case, &before, &ran);
        let report = ran.json()[0].clone();
        assert_eq!((&report["status"], &report["new"]), (&"failed".into(), &0.into()), "{case}: {report}");
        assert!(report["error"].as_str().unwrap().contains(why), "{case}: {report}");
        desk.suffer(case, "failed", why, 0);
        service.answers(good);
        let back = desk.ok("pull --all --format json").json();
        assert_eq!(back[0]["status"], "not_modified", "{case}: {back}");
    }
}
