//! Clocks, memory, and the figures a benchmark hands to the table.

use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Instant;

/// One measured thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Which benchmark.
    pub(crate) bench: String,
    /// What was measured.
    pub(crate) what: String,
    /// What came out.
    pub(crate) got: String,
    /// What the bar is; empty: there is none.
    pub(crate) bar: String,
    /// Whether it is reached; None: there is none.
    pub(crate) pass: Option<bool>,
    /// What the limit in this run is, and the ratio to it.
    pub(crate) limit: String,
}

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Took {
    /// By the clock, in milliseconds.
    pub(crate) wall: f64,
    /// By the processor, all threads of this process together, in milliseconds.
    pub(crate) cpu: f64,
}

impl Took {
    pub(crate) fn plus(self, other: Took) -> Took {
        Took { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

/// The processor's time of this process, in milliseconds: of the threads it has now, and not in ticks.
fn cpu_ms() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").map(|tasks| tasks.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let of = |path: std::path::PathBuf| {
        let stat = fs::read_to_string(path.join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    };
    tasks.into_iter().filter_map(|task| of(task.path())).sum::<f64>() / 1e6
}

/// The processor's time of this thread alone, in milliseconds.
pub(crate) fn thread_cpu_ms() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// The processor's time of another process, in milliseconds: threads that ended included, in ticks of 10 ms.
pub(crate) fn cpu_ms_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Runs something and says how long it took. Threads that ended meanwhile are not counted in its processor time.
pub(crate) fn timed<T>(run: impl FnOnce() -> T) -> (T, Took) {
    let (begun, cpu) = (Instant::now(), cpu_ms());
    let result = run();
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    (result, Took { wall, cpu: (cpu_ms() - cpu).max(0.0) })
}

/// Some rounds: the median by the clock, the mean by the processor, whose count moves in steps too great for one round.
pub(crate) fn rounds<T>(n: usize, mut run: impl FnMut() -> T) -> (T, Took) {
    let mut all = Vec::new();
    let mut last = None;
    let cpu = cpu_ms();
    for _ in 0..n.max(1) {
        let begun = Instant::now();
        last = Some(std::hint::black_box(run()));
        all.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    all.sort_by(f64::total_cmp);
    let median = Took { wall: all[all.len() / 2], cpu: (cpu_ms() - cpu) / all.len() as f64 };
    match last {
        Some(last) => (last, median),
        None => unreachable!("at least one round was run"),
    }
}

/// Resident memory of a process, in bytes; of this one where none is named.
pub(crate) fn rss(pid: Option<u32>) -> u64 {
    status(pid, "VmRSS:")
}

/// The most it ever was.
pub(crate) fn peak_rss(pid: Option<u32>) -> u64 {
    status(pid, "VmHWM:")
}

fn status(pid: Option<u32>, key: &str) -> u64 {
    let path = pid.map_or_else(|| "/proc/self/status".to_owned(), |pid| format!("/proc/{pid}/status"));
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes this process has handed to the system to write so far.
pub(crate) fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The machine's load, as the system says it.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Bytes for people.
pub(crate) fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Milliseconds for people.
pub(crate) fn ms(ms: f64) -> String {
    if ms >= 10_000.0 {
        format!("{:.1} s", ms / 1e3)
    } else if ms >= 100.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.2} ms")
    }
}

/// Collects the figures of one benchmark.
pub(crate) struct Sheet {
    bench: &'static str,
    figures: Vec<Figure>,
}

impl Sheet {
    pub(crate) fn new(bench: &'static str) -> Sheet {
        Sheet { bench, figures: Vec::new() }
    }

    /// A figure with its bar, or without one where `pass` is None.
    pub(crate) fn put(
        &mut self,
        what: impl Into<String>,
        got: String,
        bar: impl Into<String>,
        pass: Option<bool>,
        limit: String,
    ) {
        let (what, bar) = (what.into(), bar.into());
        let word = match pass {
            Some(true) => "pass",
            Some(false) => "MISS",
            None => "",
        };
        println!("  {what:<58} {got:<34} {bar:<16} {word:<5} {limit}");
        self.figures.push(Figure { bench: self.bench.to_owned(), what, got, bar, pass, limit });
    }

    /// A time with the most it may be, in milliseconds.
    pub(crate) fn time(&mut self, what: impl Into<String>, took: Took, most: Option<f64>, limit: Option<(&str, Took)>) {
        let cpu = if took.cpu > 0.0 { format!(" ({} CPU)", ms(took.cpu)) } else { String::new() };
        let got = format!("{}{cpu}", ms(took.wall));
        let bar =
            most.map(|most| format!("≤ {}", ms(most).replace(".00", "").replace(".0 s", " s"))).unwrap_or_default();
        let limit = limit.map(|(name, limit)| against(name, took, limit)).unwrap_or_default();
        self.put(what, got, bar, most.map(|most| took.wall <= most), limit);
    }

    /// A note for the reader; not in the table.
    pub(crate) fn note(&self, text: &str) {
        println!("  · {text}");
    }

    pub(crate) fn into_figures(self) -> Vec<Figure> {
        self.figures
    }
}

/// A limit as the table shows it.
pub(crate) fn against(name: &str, took: Took, limit: Took) -> String {
    format!("{:.2} × {name} ({})", took.wall / limit.wall.max(1e-9), ms(limit.wall))
}
