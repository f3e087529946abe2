//! What everything known takes in memory.

use crate::generate;
use crate::measure::{Sheet, mb, rss};
use crate::rules::load_index;
use crate::world::Fault;
use engine::ledger::{Entry, Ledger};
use intel::sharing::{Line, LineState};
use intel::{IndicatorId, Timestamp};

pub(crate) fn run(n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    // What the generator and the allocator take at all is not the index's.
    drop(std::hint::black_box(load_index(1000)));
    let before = rss(None);
    let index = load_index(n);
    let grown = rss(None).saturating_sub(before);
    let total = index.memory().total() as u64;
    let millions = f64::from(n) / 1e6;
    let values: usize = index.all().iter().map(|id| index.key_ref(id).1.len()).sum();
    let what = format!("index of {n} indicators, {:.2} records each", index.n_records() as f64 / f64::from(n));
    let per = |bytes: u64| bytes as f64 / 1e6 / millions;
    let got = format!("{:.1} MB per million, by RSS", per(grown));
    let limit = format!("{:.2} × the values alone ({})", grown as f64 / values as f64, mb(values as u64));
    sheet.put(&what, got, "≤ 170 MB", Some(per(grown) <= 170.0), limit);
    let got = format!("{:.1} MB per million, by its own count", per(total));
    sheet.put(
        &what,
        got,
        "≤ 170 MB",
        Some(per(total) <= 170.0),
        format!("mean value {:.1} bytes", values as f64 / f64::from(n)),
    );
    sheet.note(&format!("{:?}", index.memory()));
    drop(index);

    for (name, grows) in [("as loaded at start", false), ("grown line by line", true)] {
        let before = rss(None);
        let mut ledger = Ledger::default();
        // Loading puts lines in order of their numbers, a pass in any order.
        let step = if grows { 0x9e37_79b1u64 } else { 1 };
        for at in 0..u64::from(n) {
            let id = IndicatorId((at.wrapping_mul(step) % u64::from(n)) as u32);
            ledger.put(Entry {
                id,
                line: Line::new(LineState::Present, generate::mix(at, 12)),
                remote_id: None,
                entry: None,
                words: None,
                first_intent: Timestamp::from_secs(generate::TODAY),
            });
        }
        let lines = ledger.len() as f64;
        let by_rss = rss(None).saturating_sub(before) as f64 / lines;
        let counted = ledger.bytes() as f64 / lines;
        let got = format!("{by_rss:.1} bytes a line by RSS");
        let limit = format!("{counted:.1} by its own count; 17 for the fields alone");
        sheet.put(format!("ledger of {lines} lines, {name}"), got, "≤ 40 bytes", Some(by_rss <= 40.0), limit);
        drop(std::hint::black_box(ledger));
    }
    Ok(())
}
