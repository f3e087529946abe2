//! How fast feeds become rows, on one core.

use crate::generate::{self, Rows as Which, Style};
use crate::measure::{Sheet, Took, rounds};
use crate::world::Fault;
use intel::{IndicatorKind, Observation, Timestamp};
use kit::Rows;
use kit::feed::{FeedSpec, parse};
use std::path::Path;

/// Normalises every row and forgets it.
#[derive(Default)]
pub(crate) struct Forget {
    pub(crate) rows: u64,
    pub(crate) rejected: u64,
}

impl Rows for Forget {
    fn row(&mut self, row: Observation) {
        match row.normalise(Timestamp::from_secs(generate::TODAY)) {
            Ok(row) => {
                std::hint::black_box(&row);
                self.rows += 1;
            }
            Err(_) => self.rejected += 1,
        }
    }

    fn reject(&mut self, _: &'static str, _: &str) {
        self.rejected += 1;
    }

    fn filter(&mut self, _: &'static str, _: u64) {}
}

/// The part of a feed's settings that says how to read it.
pub(crate) fn spec(style: Style) -> Result<FeedSpec, Fault> {
    let mut settings = style.settings(Path::new(""));
    settings.as_object_mut().map(|settings| settings.remove("url"));
    Ok(FeedSpec::from_settings(&settings)?)
}

/// Parses and normalises a body some times: rows taken, median time.
pub(crate) fn parse_rounds(body: &[u8], style: Style, n_rounds: usize) -> Result<(Forget, Took), Fault> {
    let spec = spec(style)?;
    let (forget, took) = rounds(n_rounds, || {
        let mut forget = Forget::default();
        parse(&spec, body, &mut forget).map(|_| forget)
    });
    Ok((forget?, took))
}

fn feed(dir: &Path, n: u32, which: Which, style: Style) -> Result<Vec<u8>, Fault> {
    let path = dir.join("feed");
    generate::write_feed(&path, n, which, style, 0)?;
    Ok(std::fs::read(path)?)
}

pub(crate) fn run(dir: &Path, n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    // A fifth of the world are addresses: enough lines of each kind for a steady figure.
    let cases = [
        ("addresses", Which::Kind(IndicatorKind::Ipv4), Style::Text, Some(1e6)),
        ("MD5 hashes", Which::Kind(IndicatorKind::Md5), Style::Text, Some(1e6)),
        ("SHA-256 hashes", Which::Kind(IndicatorKind::Sha256), Style::Text, Some(1e6)),
        ("URLs", Which::Kind(IndicatorKind::Url), Style::Text, Some(0.5e6)),
        ("domains", Which::Kind(IndicatorKind::Domain), Style::Text, None),
        ("all kinds mixed", Which::All, Style::Text, None),
        ("all kinds, table of 7 columns", Which::All, Style::Csv, None),
    ];
    for (name, which, style, bar) in cases {
        let body = feed(dir, n.max(100_000), which, style)?;
        let (forget, took) = parse_rounds(&body, style, 7)?;
        let lines = memchr::memchr_iter(b'\n', &body).count() as f64;
        if forget.rejected > 0 || (forget.rows as f64) < lines - 1.0 {
            return Err(format!("{name}: {} of {lines} rows taken, {} rejected", forget.rows, forget.rejected).into());
        }
        let walk = rounds(7, || lines_of(&body).map(<[u8]>::len).sum::<usize>()).1;
        let rate = lines / took.wall * 1e3;
        let got = format!("{:.2} M lines/s ({:.2} of CPU)", rate / 1e6, lines / took.cpu / 1e3);
        let bar_text = bar.map(|bar| format!("≥ {:.1} M lines/s", bar / 1e6)).unwrap_or_default();
        let limit = if name == "URLs" {
            let bare = rounds(3, || {
                let texts = lines_of(&body).filter_map(|line| std::str::from_utf8(line).ok());
                texts.filter(|text| std::hint::black_box(url::Url::parse(text)).is_ok()).count()
            });
            crate::measure::against("bare url::Url::parse", took, bare.1)
        } else {
            crate::measure::against("memchr line walk", took, walk)
        };
        sheet.put(name, got, bar_text, bar.map(|bar| rate >= bar), limit);
    }
    Ok(())
}

fn lines_of(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    memchr::memchr_iter(b'\n', body).map(move |end| {
        let line = &body[from..end];
        from = end + 1;
        line
    })
}
