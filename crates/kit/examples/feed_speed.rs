//! How fast a list is parsed and normalised on one core: `cargo run --release -p kit --example feed_speed [MILLIONS]`.
//!
//! Each figure stands beside the time to split the same bytes into lines, which no reader can beat.

#![allow(clippy::print_stdout, reason = "this is its output")]

use intel::{Observation, Timestamp};
use kit::Rows;
use kit::feed::{FeedSpec, parse};
use serde_json::json;
use std::fmt::Write;
use std::time::Instant;

/// Normalises what it gets, or only counts it.
struct Sink {
    normalise: bool,
    keys: u64,
    refused: u64,
}

impl Rows for Sink {
    fn row(&mut self, row: Observation) {
        if !self.normalise {
            self.keys += u64::from(!row.value.is_empty());
            return;
        }
        match row.normalise(Timestamp::from_secs(1_800_000_000)) {
            Ok(row) => self.keys += u64::from(!row.key.value().is_empty()),
            Err(_) => self.refused += 1,
        }
    }

    fn reject(&mut self, _reason: &'static str, _sample: &str) {
        self.refused += 1;
    }

    fn filter(&mut self, _reason: &'static str, _n: u64) {}
}

fn main() {
    let millions: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let lines = millions * 1_000_000;
    let mut state = 42u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut body = |line: &dyn Fn(&mut dyn FnMut() -> u64, &mut String)| {
        let mut text = String::new();
        for _ in 0..lines {
            line(&mut random, &mut text);
        }
        text
    };
    let addresses = body(&|random, text| {
        let [a, b, c, d] = (random() as u32).to_be_bytes();
        let _ = writeln!(text, "{}.{b}.{c}.{d}", a % 200 + 1);
    });
    let hashes = body(&|random, text| {
        let _ = writeln!(text, "{:016x}{:016x}{:016x}{:016x}", random(), random(), random(), random());
    });
    let names = body(&|random, text| {
        let _ = writeln!(text, "0.0.0.0 host-{:x}.example-{}.com", random() as u32, random() % 10_000);
    });
    let urls = body(&|random, text| {
        let _ = writeln!(
            text,
            "http://host-{:x}.example-{}.com/path/{:x}/file.exe?id={}",
            random() as u32,
            random() % 10_000,
            random() as u32,
            random() % 1000
        );
    });
    let table = body(&|random, text| {
        let [a, b, c, d] = (random() as u32).to_be_bytes();
        let _ = writeln!(
            text,
            "\"{}\",\"2026-01-31 10:11:12\",\"http://{}.{b}.{c}.{d}:{}/bin.sh\",\"online\",\"elf,mips\"",
            random() % 1_000_000,
            a % 200 + 1,
            random() % 60_000
        );
    });
    let json = body(&|random, text| {
        let [a, b, c, d] = (random() as u32).to_be_bytes();
        let _ = writeln!(
            text,
            "{{\"ip\":\"{}.{b}.{c}.{d}\",\"seen\":\"2026-01-31 10:11:12\",\"tags\":[\"c2\"]}}",
            a % 200 + 1
        );
    });
    println!("{:12} {:>12} {:>12} {:>14} {:>8}", "feed", "lines/s", "parse only", "split lines", "refused");
    let csv = json!({"format": "csv", "value": "3", "kind": "url", "first_seen_column": "2", "tags_columns": ["5"]});
    let ndjson = json!({"format": "ndjson", "value": "ip", "last_seen_column": "seen", "tags_columns": ["tags"]});
    for (name, settings, text) in [
        ("addresses", json!({"format": "text"}), &addresses),
        ("hashes", json!({"format": "text"}), &hashes),
        ("hosts", json!({"format": "text"}), &names),
        ("urls", json!({"format": "text"}), &urls),
        ("csv", csv, &table),
        ("ndjson", ndjson, &json),
    ] {
        let spec = FeedSpec::from_settings(&settings).unwrap_or_else(|error| panic!("{error}"));
        let per_second = |start: Instant| lines as f64 / start.elapsed().as_secs_f64();
        let start = Instant::now();
        let split: usize = memchr_lines(text.as_bytes());
        let splitting = per_second(start);
        let mut rates = [0.0; 2];
        let mut refused = 0;
        for (rate, normalise) in rates.iter_mut().zip([true, false]) {
            let mut sink = Sink { normalise, keys: 0, refused: 0 };
            let start = Instant::now();
            match parse(&spec, text.as_bytes(), &mut sink) {
                Ok(stats) => assert_eq!(stats.read() as usize, split),
                Err(error) => panic!("{name}: {error}"),
            }
            *rate = per_second(start);
            refused = refused.max(sink.refused);
        }
        println!("{name:12} {:>12.0} {:>12.0} {splitting:>14.0} {refused:>8}", rates[0], rates[1]);
    }
}

fn memchr_lines(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
}
