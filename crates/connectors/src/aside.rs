//! Rows that wait until it is clear that they may be used.

use intel::Observation;
use kit::Rows;

/// Longest sample kept of a row that could not be read, in characters.
const SAMPLE: usize = 400;

#[derive(Default)]
pub(crate) struct Aside(Vec<Said>);

enum Said {
    Row(Box<Observation>),
    Reject(&'static str, String),
    Filter(&'static str, u64),
}

impl Aside {
    /// Says to `rows` all that was said here, in order.
    pub(crate) fn hand_over(self, rows: &mut dyn Rows) {
        for said in self.0 {
            match said {
                Said::Row(row) => rows.row(*row),
                Said::Reject(reason, sample) => rows.reject(reason, &sample),
                Said::Filter(reason, n) => rows.filter(reason, n),
            }
        }
    }
}

impl Rows for Aside {
    fn row(&mut self, row: Observation) {
        self.0.push(Said::Row(Box::new(row)));
    }

    fn reject(&mut self, reason: &'static str, sample: &str) {
        self.0.push(Said::Reject(reason, sample.chars().take(SAMPLE).collect()));
    }

    fn filter(&mut self, reason: &'static str, n: u64) {
        match self.0.last_mut() {
            Some(Said::Filter(last, count)) if *last == reason => *count += n,
            _ => self.0.push(Said::Filter(reason, n)),
        }
    }
}
