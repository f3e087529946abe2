//! How fast, how big: each figure with its bar and with what the machine could do at best in the same run.
//!
//! `cargo xtask bench [NAME…] [--scale 1m] [--big] [--keep DIR]`; `--list` names the benchmarks. Each one is a process
//! of its own, so that one's memory is not another's. The closing table is Markdown.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

mod answering;
mod browser;
mod documents;
mod generate;
mod guarding;
mod ingest;
mod measure;
mod memory;
mod pages;
mod parsing;
mod planning;
mod pushing;
mod retracting;
mod rules;
mod serving;
mod sharing;
mod stix;
mod taxii;
mod world;

use measure::{Figure, Sheet, load};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use world::Fault;

/// Runs in a directory of its own, over so many indicators.
type Run = fn(&Path, u32, &mut Sheet) -> Result<(), Fault>;

struct Bench {
    name: &'static str,
    about: &'static str,
    /// Whether `--big` runs it a second time, over ten times as much.
    has_big: bool,
    run: Run,
}

/// In the order of the closing table.
const ALL: &[Bench] = &[
    Bench { name: "parse", about: "feeds to normalised rows, one core", has_big: false, run: parsing::run },
    Bench {
        name: "stix",
        about: "a STIX bundle to normalised rows, one core",
        has_big: false,
        run: |dir, _, sheet| stix::run(dir, sheet),
    },
    Bench {
        name: "documents",
        about: "MISP fetched, OpenIOC and STIX 1, to rows; one core",
        has_big: false,
        run: documents::run,
    },
    Bench {
        name: "taxii",
        about: "a TAXII collection to normalised rows, the client's thread",
        has_big: false,
        run: |_, _, sheet| taxii::run(sheet),
    },
    Bench { name: "ingest", about: "first ingest against bare SQLite inserts", has_big: false, run: ingest::ingest },
    Bench { name: "again", about: "the same feed again", has_big: false, run: ingest::again },
    Bench {
        name: "rule",
        about: "a rule over everything: count and stream",
        has_big: true,
        run: |_, n, sheet| rules::run(n, sheet),
    },
    Bench { name: "plan", about: "20 targets after 1 % changed", has_big: false, run: planning::run },
    Bench {
        name: "guard",
        about: "a look-up among two guarded values an indicator, and the shipped lists",
        has_big: false,
        run: |_, n, sheet| guarding::run(n, sheet),
    },
    Bench {
        name: "share",
        about: "200,000 pushes with ledger and guard, to the plan alone",
        has_big: false,
        run: sharing::share,
    },
    Bench { name: "undo", about: "a plan that undoes 10,000 effects", has_big: false, run: sharing::undo },
    Bench { name: "why", about: "one value explained at five targets", has_big: false, run: answering::why },
    Bench { name: "retract", about: "a verdict until its value is gone", has_big: false, run: retracting::run },
    Bench { name: "push", about: "rows pushed over loopback by one client", has_big: false, run: pushing::bulk },
    Bench { name: "react", about: "a pushed row until it is in a served list", has_big: false, run: pushing::react },
    Bench { name: "list", about: "a served list over loopback", has_big: false, run: serving::list },
    Bench {
        name: "memory",
        about: "index, ledger, empty process",
        has_big: false,
        run: |dir, n, sheet| {
            serving::empty(dir, sheet)?;
            memory::run(n, sheet)
        },
    },
    Bench { name: "pages", about: "every page of the console, in a browser too", has_big: true, run: pages::run },
    Bench { name: "start", about: "start to serving", has_big: true, run: serving::start },
];

struct Options {
    names: Vec<String>,
    scale: u32,
    is_big: bool,
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    if std::env::var_os(serving::AS_SERVER).is_some() {
        return iocast::cli::main();
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--prepare", n, dir] => scale(n).and_then(|n| serving::prepare(Path::new(dir), n)),
        ["--prepare-pages", n, dir] => scale(n).and_then(|n| pages::prepare(Path::new(dir), n)),
        ["--child", name, n, dir, out] => scale(n).and_then(|n| child(name, n, Path::new(dir), Path::new(out))),
        ["--ledger", n, order] => scale(n).map(|n| memory::ledger(n, order == "mixed")),
        ["--list"] => {
            ALL.iter().for_each(|bench| println!("{:<8} {}", bench.name, bench.about));
            Ok(())
        }
        _ => parse(&args).and_then(|options| parent(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `250000`, `100k`, `1m`.
fn scale(text: &str) -> Result<u32, Fault> {
    let lower = text.to_ascii_lowercase();
    let (digits, factor) = match lower.strip_suffix('k') {
        Some(digits) => (digits, 1000),
        None => lower.strip_suffix('m').map_or((&*lower, 1), |digits| (digits, 1_000_000)),
    };
    let n = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| (1000..=100_000_000).contains(n));
    n.ok_or_else(|| format!("--scale takes 1k to 100m, not `{text}`").into())
}

fn parse(args: &[String]) -> Result<Options, Fault> {
    let mut options = Options { names: Vec::new(), scale: 1_000_000, is_big: false, keep: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--scale" => options.scale = scale(args.next().map_or("", String::as_str))?,
            "--big" => options.is_big = true,
            "--keep" => options.keep = Some(args.next().ok_or("--keep needs a directory")?.into()),
            name if ALL.iter().any(|bench| bench.name == name) => options.names.push(name.to_owned()),
            other => {
                let names: Vec<&str> = ALL.iter().map(|bench| bench.name).collect();
                let all = names.join(", ");
                return Err(
                    format!("`{other}` is no benchmark; there are {all}, and --scale N, --big, --keep DIR").into()
                );
            }
        }
    }
    Ok(options)
}

/// One benchmark in this process; its figures go to a file.
fn child(name: &str, n: u32, dir: &Path, out: &Path) -> Result<(), Fault> {
    let bench = ALL.iter().find(|bench| bench.name == name).ok_or("no such benchmark")?;
    let mut sheet = Sheet::new(bench.name);
    let result = (bench.run)(dir, n, &mut sheet);
    // What was measured before a fault is worth keeping.
    fs::write(out, serde_json::to_vec(&sheet.into_figures())?)?;
    result
}

/// Prepares in a process of its own, so that what it took is gone.
fn apart(what: &str, n: u32, dir: &Path) -> Result<(), Fault> {
    let status = Command::new(std::env::current_exe()?).args([what, &n.to_string()]).arg(dir).status()?;
    if status.success() { Ok(()) } else { Err(format!("preparing ended with {status}").into()) }
}

fn parent(options: &Options) -> Result<(), Fault> {
    let temporary = tempfile::tempdir()?;
    let root = options.keep.as_deref().unwrap_or(temporary.path());
    if cfg!(debug_assertions) {
        println!("This is no release build: the figures mean nothing.\n");
    }
    println!("scale {}, load {} at the beginning", options.scale, load());
    let mut figures = Vec::new();
    let mut faults = Vec::new();
    for bench in
        ALL.iter().filter(|bench| options.names.is_empty() || options.names.iter().any(|name| name == bench.name))
    {
        let big = (options.is_big && bench.has_big).then(|| options.scale.saturating_mul(10));
        for n in std::iter::once(options.scale).chain(big) {
            println!("\n{} — {}, {n} indicators (load {})", bench.name, bench.about, load());
            let dir = root.join(format!("{}-{n}", bench.name));
            fs::create_dir_all(&dir)?;
            let out = dir.join("figures.json");
            let status = Command::new(std::env::current_exe()?)
                .args(["--child", bench.name, &n.to_string()])
                .args([&dir, &out])
                .status()?;
            if !status.success() {
                faults.push(format!("{} ended with {status}", bench.name));
            }
            let found: Vec<Figure> =
                fs::read(&out).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            figures.extend(found);
            if options.keep.is_none() {
                let _ = fs::remove_dir_all(&dir);
            }
        }
    }
    println!("\nload {} at the end\n\n{}", load(), table(&figures));
    let missed = figures.iter().filter(|figure| figure.pass == Some(false)).count();
    let barred = figures.iter().filter(|figure| figure.pass.is_some()).count();
    println!("{} of {barred} bars reached", barred - missed);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ").into()) }
}

/// The figures as a Markdown table.
fn table(figures: &[Figure]) -> String {
    let mut out = "| benchmark | what | figure | bar | | ratio to the limit in this run |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for figure in figures {
        let Figure { bench, what, got, bar, pass, limit } = figure;
        let word = match pass {
            Some(true) => "pass",
            Some(false) => "**miss**",
            None => "",
        };
        let what = what.replace('|', "\\|");
        out.push_str(&format!("| {bench} | {what} | {got} | {bar} | {word} | {limit} |\n"));
    }
    out
}
