//! Between columns and values. What cannot have been written by us is damage, not a default.

use crate::error::{Result, StoreError};
use crate::tagset;
use intel::{
    Claim, ConnectionId, Ended, IndicatorId, IndicatorKey, IndicatorKind, Reputation, Severity, SourceRecord,
    Timestamp, Tlp,
};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Row, params};

/// The columns of a claim, as [`claim`] reads them; both `record` and `staged` have them.
pub(crate) const CLAIM: &str = "reputation, confidence, severity, tlp, first_seen, last_seen, valid_from, expires_at, \
     retracted, internal_hits, external_hits, comment, link, raw";
/// How many they are.
pub(crate) const CLAIM_LEN: usize = 14;

/// The row of a record in its table.
pub(crate) fn record_id(indicator: IndicatorId, connection: ConnectionId) -> i64 {
    (i64::from(indicator.0) << 16) | i64::from(connection.0)
}

/// The parts of a record's row number.
pub(crate) fn record_key(id: i64) -> (IndicatorId, ConnectionId) {
    (IndicatorId((id >> 16) as u32), ConnectionId(id as u16))
}

/// Inserts a record or overwrites it.
pub(crate) const PUT_RECORD: &str = "INSERT OR REPLACE INTO record (id, version, received, content, tagset, listed, echo, \
     reputation, confidence, severity, tlp, first_seen, last_seen, valid_from, expires_at, retracted, internal_hits, \
     external_hits, ended_version, ended_content, more_contents, remote_id, comment, link, raw) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, \
     ?24, ?25)";

/// Runs [`PUT_RECORD`]. `scratch` is reused between calls.
pub(crate) fn put_record(
    statement: &mut CachedStatement<'_>,
    id: i64,
    record: &SourceRecord,
    tagset: u32,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    let claim = &record.claim;
    let more = record.contents.get(1..).filter(|more| !more.is_empty()).map(|more| {
        scratch.clear();
        for content in more {
            scratch.extend_from_slice(&content.to_le_bytes());
        }
        &scratch[..]
    });
    statement.execute(params![
        id,
        record.version.micros(),
        record.received.micros(),
        record.contents.first().map(|c| c.cast_signed()),
        tagset,
        record.listed,
        record.echo,
        claim.reputation.map(Reputation::get),
        claim.confidence,
        claim.severity as u8,
        claim.tlp.map(|t| t as u8),
        claim.first_seen.map(Timestamp::micros),
        claim.last_seen.map(Timestamp::micros),
        claim.valid_from.map(Timestamp::micros),
        claim.expires_at.map(Timestamp::micros),
        claim.retracted,
        claim.internal_hits,
        claim.external_hits,
        record.ended.map(|e| e.version.micros()),
        record.ended.map(|e| e.content.cast_signed()),
        more,
        record.remote_id,
        claim.comment,
        claim.link,
        claim.raw,
    ])?;
    Ok(())
}

/// What [`record`] reads, to be completed with a `WHERE` over `r.id`.
pub(crate) fn select_record() -> String {
    let claim = CLAIM.split(", ").map(|column| format!("r.{column}")).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {claim}, t.tags, r.id, r.version, r.received, r.content, r.more_contents, r.listed, r.echo, \
         r.ended_version, r.ended_content, r.remote_id FROM record r JOIN tagset t ON t.id = r.tagset"
    )
}

/// A row of [`select_record`].
pub(crate) fn record(row: &Row<'_>) -> Result<(IndicatorId, ConnectionId, SourceRecord)> {
    const AT: usize = CLAIM_LEN;
    let tags = tagset::from_json(row.get_ref(AT)?.as_str().map_err(|e| StoreError::damaged(e.to_string()))?)?;
    let (indicator, connection) = record_key(row.get(AT + 1)?);
    let mut contents: Vec<u64> = row.get::<_, Option<i64>>(AT + 4)?.map(i64::cast_unsigned).into_iter().collect();
    if let ValueRef::Blob(more) = row.get_ref(AT + 5)? {
        contents.extend(unpack(more));
    }
    let ended = match (time(row, AT + 8)?, row.get::<_, Option<i64>>(AT + 9)?) {
        (Some(version), Some(content)) => Some(Ended { version, content: content.cast_unsigned() }),
        _ => None,
    };
    let record = SourceRecord {
        version: Timestamp::from_micros(row.get(AT + 2)?),
        claim: claim(row, tags)?,
        received: Timestamp::from_micros(row.get(AT + 3)?),
        contents,
        listed: row.get(AT + 6)?,
        echo: row.get(AT + 7)?,
        ended,
        remote_id: text(row, AT + 10)?,
    };
    Ok((indicator, connection, record))
}

/// Fingerprints packed in a blob.
pub(crate) fn unpack(blob: &[u8]) -> impl Iterator<Item = u64> + '_ {
    blob.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The claim in the first [`CLAIM_LEN`] columns.
pub(crate) fn claim(row: &Row<'_>, tags: Vec<Box<str>>) -> Result<Claim> {
    Ok(Claim {
        reputation: small(row, 0)?.map(reputation).transpose()?,
        confidence: small(row, 1)?,
        severity: severity(row.get(2)?)?,
        tlp: small(row, 3)?.map(tlp).transpose()?,
        tags,
        first_seen: time(row, 4)?,
        last_seen: time(row, 5)?,
        valid_from: time(row, 6)?,
        expires_at: time(row, 7)?,
        retracted: row.get(8)?,
        internal_hits: row.get(9)?,
        external_hits: row.get(10)?,
        comment: text(row, 11)?,
        link: text(row, 12)?,
        raw: text(row, 13)?,
    })
}

/// A key from its columns.
pub(crate) fn key(kind: u8, value: &str) -> Result<IndicatorKey> {
    Ok(IndicatorKey::from_stored(self::kind(kind)?, value))
}

pub(crate) fn kind(number: u8) -> Result<IndicatorKind> {
    IndicatorKind::from_number(number).ok_or_else(|| StoreError::damaged(format!("there is no kind {number}")))
}

pub(crate) fn reputation(number: u8) -> Result<Reputation> {
    Reputation::new(number).ok_or_else(|| StoreError::damaged(format!("there is no reputation {number}")))
}

pub(crate) fn severity(number: u8) -> Result<Severity> {
    Severity::ALL
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| StoreError::damaged(format!("there is no severity {number}")))
}

pub(crate) fn tlp(number: u8) -> Result<Tlp> {
    Tlp::ALL.get(usize::from(number)).copied().ok_or_else(|| StoreError::damaged(format!("there is no TLP {number}")))
}

pub(crate) fn time(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros))
}

pub(crate) fn text(row: &Row<'_>, at: usize) -> Result<Option<Box<str>>> {
    Ok(row.get::<_, Option<Box<str>>>(at)?)
}

fn small(row: &Row<'_>, at: usize) -> Result<Option<u8>> {
    Ok(row.get(at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ids_keep_both_parts() {
        for (indicator, connection) in [(0, 0), (0, 1), (1, 0), (7, u16::MAX), (u32::MAX, u16::MAX), (u32::MAX, 0)] {
            let key = (IndicatorId(indicator), ConnectionId(connection));
            let id = record_id(key.0, key.1);
            assert!(id >= 0);
            assert_eq!(record_key(id), key);
        }
    }
}
