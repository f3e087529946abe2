//! How many values a second one core gives a key: `cargo run --release -p intel --example keys_speed`.
//!
//! Values are generated from a counter, so that every run measures the same text.

#![allow(clippy::disallowed_methods, reason = "a stopwatch is the point of this one")]

use intel::key::{IndicatorKey, IndicatorKind};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

const VALUES: usize = 200_000;
const ROUNDS: usize = 10;

/// A label, the kind stated, and the value made of a number.
type Set = (&'static str, Option<IndicatorKind>, Box<dyn Fn(u64) -> String>);

fn main() -> std::io::Result<()> {
    use IndicatorKind::{Domain, Ipv4, Sha256, Url};
    let mut state = 7u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let ipv4 = |r: u64| std::net::Ipv4Addr::from(r as u32).to_string();
    let name = |r: u64| {
        format!(
            "h{:x}.{}.{}",
            r & 0xffff,
            ["login-portal", "cdn77", "mail"][(r >> 20) as usize % 3],
            ["com", "ru", "co.uk", "duckdns.org"][(r >> 30) as usize % 4]
        )
    };
    let sets: [Set; 12] = [
        ("ipv4", None, Box::new(ipv4)),
        ("ipv4, kind stated", Some(Ipv4), Box::new(ipv4)),
        ("ipv4 defanged", None, Box::new(move |r| ipv4(r).replace('.', "[.]"))),
        ("ipv4_net", None, Box::new(move |r| format!("{}/24", ipv4(r)))),
        ("ipv6", None, Box::new(|r| std::net::Ipv6Addr::from(u128::from(r) << 64 | u128::from(r)).to_string())),
        ("sha256", None, Box::new(|r| format!("{r:016x}").repeat(4))),
        ("sha256 upper, kind stated", Some(Sha256), Box::new(|r| format!("{r:016X}").repeat(4))),
        ("domain", None, Box::new(name)),
        ("domain, kind stated", Some(Domain), Box::new(name)),
        ("url", None, Box::new(move |r| format!("http://{}/wp-content/{r:x}/gate.php?id={}&x=1", name(r), r % 1000))),
        ("url, kind stated", Some(Url), Box::new(move |r| format!("hxxps://{}/a/{r:x}", name(r).replace('.', "[.]")))),
        ("rejected", None, Box::new(|r| format!("not an indicator {r:x}"))),
    ];
    let mut out = std::io::stdout().lock();
    for (label, hint, make) in sets {
        let values: Vec<String> = (0..VALUES).map(|_| make(next())).collect();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for value in &values {
                let _ = black_box(IndicatorKey::parse(hint, black_box(value)));
            }
        }
        let rate = (VALUES * ROUNDS) as f64 / start.elapsed().as_secs_f64() / 1e6;
        writeln!(out, "{label:<28} {rate:6.2} M/s")?;
    }
    let report: String = (0..50_000)
        .map(|_| next())
        .map(|r| format!("The host {} calls hxxp://{}/x and {}.\n", name(r), name(r).replace('.', "[.]"), ipv4(r)))
        .collect();
    let start = Instant::now();
    let mut found = 0usize;
    intel::extract::extract(&report, |_| found += 1);
    let rate = report.len() as f64 / start.elapsed().as_secs_f64() / 1e6;
    writeln!(out, "{:<28} {rate:6.2} MB/s ({found} found)", "extract")
}
