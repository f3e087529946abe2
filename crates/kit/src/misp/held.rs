//! Rows of an event that wait for what stands after them.

use crate::error::ConnectorError;
use intel::{IndicatorKind, Observation, Timestamp, Tlp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};

/// Bytes of rows that wait in memory; more go to a nameless temporary file.
const MEMORY_BYTES: usize = 16 << 20;
/// Rejected rows of one event of which a sample is kept.
const SAMPLES: usize = 1_000;

/// A row, without what its event says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) value: String,
    pub(super) kind: u8,
    pub(super) tlp: Option<u8>,
    pub(super) tags: Vec<String>,
    pub(super) hops: Vec<String>,
    pub(super) first_seen: Option<i64>,
    pub(super) last_seen: Option<i64>,
    pub(super) modified: Option<i64>,
    pub(super) retracted: bool,
    pub(super) comment: Option<String>,
    pub(super) remote_id: Option<String>,
}

impl Held {
    fn bytes(&self) -> usize {
        let texts = |list: &[String]| list.iter().map(|text| text.len() + 32).sum::<usize>();
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        240 + self.value.len() + texts(&self.tags) + texts(&self.hops) + text(&self.comment) + text(&self.remote_id)
    }

    pub(super) fn observation(self) -> Observation {
        let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        Observation {
            value: self.value,
            kind: IndicatorKind::from_number(self.kind),
            tlp: self.tlp.and_then(|tlp| Tlp::ALL.get(usize::from(tlp)).copied()),
            tags: self.tags,
            hops: self.hops,
            first_seen: time(self.first_seen),
            last_seen: time(self.last_seen),
            modified: time(self.modified),
            retracted: self.retracted,
            comment: self.comment,
            remote_id: self.remote_id,
            ..Observation::default()
        }
    }
}

/// The rows of one event, in order, and what was no row.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<Held>,
    bytes: usize,
    file: Option<BufWriter<File>>,
    pub(super) filtered: BTreeMap<&'static str, u64>,
    pub(super) rejected: Vec<(&'static str, String)>,
    /// Those without a sample.
    pub(super) rejected_more: BTreeMap<&'static str, u64>,
}

impl Batch {
    pub(super) fn filter(&mut self, reason: &'static str) {
        *self.filtered.entry(reason).or_default() += 1;
    }

    pub(super) fn reject(&mut self, reason: &'static str, sample: &str) {
        if self.rejected.len() < SAMPLES {
            self.rejected.push((reason, sample.chars().take(200).collect()));
        } else {
            *self.rejected_more.entry(reason).or_default() += 1;
        }
    }

    pub(super) fn hold(&mut self, row: Held) -> Result<(), ConnectorError> {
        self.bytes += row.bytes();
        self.rows.push(row);
        if self.bytes > MEMORY_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), ConnectorError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::with_capacity(256 << 10, tempfile::tempfile().map_err(|error| disk(&error))?),
        };
        for row in self.rows.drain(..) {
            serde_json::to_writer(&mut file, &row).map_err(|error| disk(&error.into()))?;
            file.write_all(b"\n").map_err(|error| disk(&error))?;
        }
        self.bytes = 0;
        self.file = Some(file);
        Ok(())
    }

    /// Hands over every row, in order.
    pub(super) fn each(mut self, row: &mut dyn FnMut(Held)) -> Result<(), ConnectorError> {
        if let Some(file) = self.file.take() {
            let mut file = file.into_inner().map_err(|error| disk(error.error()))?;
            file.seek(SeekFrom::Start(0)).map_err(|error| disk(&error))?;
            let mut file = BufReader::with_capacity(256 << 10, file);
            let mut line = Vec::new();
            while file.read_until(b'\n', &mut line).map_err(|error| disk(&error))? > 0 {
                row(serde_json::from_slice(&line).map_err(|error| disk(&error.into()))?);
                line.clear();
            }
        }
        self.rows.into_iter().for_each(row);
        Ok(())
    }
}

fn disk(error: &std::io::Error) -> ConnectorError {
    ConnectorError::Later { wait: None, why: format!("the event cannot be kept while it is read: {error}") }
}
