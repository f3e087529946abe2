//! Checking the audit log offline: of a database, a backup, or a file it was handed on to, and one against the other.

use super::holds;
use crate::seal::Keys;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use store::{AuditRow, AuditVerdict, Checkpoint, Store, StoreError};

/// What a look at the audit log found.
#[derive(Debug, Serialize, JsonSchema, PartialEq, Eq)]
pub(crate) struct AuditChecked {
    /// Whether everything is as it was written.
    pub(crate) ok: bool,
    /// Entries that are, from the first one looked at.
    pub(crate) records: u64,
    /// Signed checkpoints that hold.
    pub(crate) checkpoints: u64,
    /// The last entry under one of them.
    pub(crate) signed_to: u64,
    /// The first entry that is not as it was written.
    pub(crate) first_bad: Option<u64>,
    /// Why that is known.
    pub(crate) why: Option<String>,
    /// What the check could not tell.
    pub(crate) notes: Vec<String>,
}

/// Judges checkpoints: good signatures, by keys that are ours as far as we can know.
struct Keyring {
    ours: Option<Vec<[u8; 32]>>,
    last: Option<[u8; 32]>,
}

impl Keyring {
    fn judge(&mut self, made: &Checkpoint, before: Option<&Checkpoint>) -> Result<(), String> {
        holds(made, before)?;
        self.last = Some(made.key);
        Ok(())
    }

    fn checked(self, verdict: AuditVerdict) -> AuditChecked {
        let (mut first_bad, mut why) = match verdict.bad {
            Some((seq, why)) => (Some(seq), Some(why)),
            None => (None, None),
        };
        let mut notes = Vec::new();
        match (&self.ours, self.last) {
            (_, None) => notes.push("nothing is signed: a log that was hashed anew would not show".to_owned()),
            (None, Some(_)) => {
                notes.push("the key is not here: that the signatures are by our key is not shown".to_owned());
            }
            // The last signature vouches for those before it, whoever's keys they are by: old keys may be forgotten.
            (Some(ours), Some(last)) if !ours.contains(&last) && first_bad.is_none() => {
                first_bad = Some(1);
                why = Some("the last checkpoint was signed with a key that is not ours".to_owned());
            }
            _ => {}
        }
        if first_bad.is_none() && verdict.records > verdict.signed_to && verdict.signed_to > 0 {
            notes.push(format!("the last {} entries are not signed yet", verdict.records - verdict.signed_to));
        }
        AuditChecked {
            ok: first_bad.is_none(),
            records: verdict.records,
            checkpoints: verdict.checkpoints,
            signed_to: verdict.signed_to,
            first_bad,
            why,
            notes,
        }
    }
}

fn keyring(keys: Option<&Keys>) -> Keyring {
    let ours = keys.and_then(|keys| keys.auditors().ok()).filter(|keys| !keys.is_empty());
    Keyring { ours, last: None }
}

/// Checks the log of an open store.
///
/// # Errors
/// A store that cannot be read.
pub(crate) fn store(store: &Store, keys: Option<&Keys>) -> Result<AuditChecked, StoreError> {
    let mut ring = keyring(keys);
    let verdict = store.check_audit(&mut |made, before| ring.judge(made, before))?;
    Ok(ring.checked(verdict))
}

/// Checks a file: a database, or what the log was handed on to.
///
/// # Errors
/// What cannot be read, in words.
pub(crate) fn file(path: &Path, keys: Option<&Keys>) -> Result<AuditChecked, String> {
    let mut ring = keyring(keys);
    let verdict = match is_database(path)? {
        true => store::check_audit_file(path, &mut |made, before| ring.judge(made, before))
            .map_err(|error| error.to_string())?,
        false => lines(path, &mut ring, &mut |_| Ok(()))?,
    };
    Ok(ring.checked(verdict))
}

/// Checks a database against what its log was handed on to: every entry there must be here, and be the same.
///
/// # Errors
/// What cannot be read, in words.
pub(crate) fn against(database: &Path, handed_on: &Path, keys: Option<&Keys>) -> Result<AuditChecked, String> {
    if !is_database(database)? || is_database(handed_on)? {
        return Err("--against compares a database with a file the log was handed on to".to_owned());
    }
    let mut checked = file(database, keys)?;
    let hash = store::audit_hash_in(database).map_err(|error| error.to_string())?;
    let mut differs = None;
    let mut ring = keyring(keys);
    let verdict = lines(handed_on, &mut ring, &mut |entry| {
        let why = match hash(entry.seq) {
            None => "it was handed on, and is not there any more",
            Some(chain) if chain != entry.chain => "it is another than the one that was handed on",
            Some(_) => return Ok(()),
        };
        if differs.is_none() {
            differs = Some((entry.seq, why.to_owned()));
        }
        Ok(())
    })?;
    if let Some((seq, why)) = verdict.bad {
        checked.notes.push(format!("the file {}: entry {seq}: {why}", handed_on.display()));
        checked.ok = false;
    }
    if let Some((seq, why)) = differs
        && checked.first_bad.is_none_or(|bad| bad >= seq)
    {
        checked.ok = false;
        (checked.first_bad, checked.why) = (Some(seq), Some(why));
    }
    Ok(checked)
}

fn is_database(path: &Path) -> Result<bool, String> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(head == b"SQLite format 3\0")
}

/// Reads what the log was handed on to, in order. It may begin anywhere: the first entry is believed.
fn lines(
    path: &Path,
    ring: &mut Keyring,
    each: &mut dyn FnMut(&AuditRow) -> Result<(), String>,
) -> Result<AuditVerdict, String> {
    let about = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut reader = BufReader::new(File::open(path).map_err(about)?);
    let mut verdict = AuditVerdict::default();
    let mut last: Option<AuditRow> = None;
    let mut hashes: BTreeMap<u64, [u8; 32]> = BTreeMap::new();
    let mut torn = false;
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).map_err(about)? > 0 {
        let due = last.as_ref().map_or(1, |last| last.seq + 1);
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        let is_whole = bytes.ends_with(b"\n");
        bytes.clear();
        let Some(value) = value.filter(|_| is_whole) else {
            // What a crash cut off is written again after it; if it is not, the next entry is missing.
            torn = true;
            continue;
        };
        if let Some(seq) = value["checkpoint"].as_u64() {
            if let Some(made) = read_checkpoint(&value)
                && hashes.get(&seq).is_some_and(|chain| *chain != made.chain)
            {
                verdict.bad = Some((verdict.signed_to + 1, "the log was another when it was signed".to_owned()));
                return Ok(verdict);
            }
            continue;
        }
        let Some(entry) = read_entry(&value) else {
            verdict.bad = Some((due, "its line is no entry".to_owned()));
            return Ok(verdict);
        };
        let expect = match &last {
            None => entry.chain,
            Some(last) => entry.link(&last.chain),
        };
        if last.is_some() && entry.seq != due {
            verdict.bad = Some((due, format!("it is not there, and {} is", entry.seq)));
            return Ok(verdict);
        }
        if expect != entry.chain || (entry.seq == 1 && entry.link(&[0; 32]) != entry.chain) {
            let why = "its hash is another than that of what it says and what came before";
            verdict.bad = Some((entry.seq, why.to_owned()));
            return Ok(verdict);
        }
        each(&entry)?;
        torn = false;
        hashes.insert(entry.seq, entry.chain);
        // Checkpoints speak of at most this many entries back.
        if hashes.len() > 4_096 {
            hashes.pop_first();
        }
        verdict.records += 1;
        last = Some(entry);
    }
    if torn {
        let due = last.as_ref().map_or(1, |last| last.seq + 1);
        verdict.bad = Some((due, "its line is cut off".to_owned()));
    }
    let _ = ring;
    Ok(verdict)
}

fn hex<const N: usize>(value: &Value) -> Option<[u8; N]> {
    let text = value.as_str().filter(|text| text.len() == 2 * N && text.is_ascii())?;
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn read_entry(value: &Value) -> Option<AuditRow> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Some(AuditRow {
        seq: value["seq"].as_u64()?,
        at: intel::Timestamp::from_micros(value["at_micros"].as_i64()?),
        who: text("who")?,
        action: text("action")?,
        object: text("object")?,
        detail: text("detail")?,
        address: text("address"),
        token: value["token"].as_u64().and_then(|token| u32::try_from(token).ok()),
        chain: hex(&value["chain"])?,
    })
}

fn read_checkpoint(value: &Value) -> Option<Checkpoint> {
    Some(Checkpoint {
        seq: value["checkpoint"].as_u64()?,
        at: intel::Timestamp::from_micros(value["at_micros"].as_i64()?),
        chain: hex(&value["chain"])?,
        key: hex(&value["key"])?,
        signature: hex::<64>(&value["signature"])?.to_vec(),
    })
}
