//! The audit log beyond the store: signed, handed on to places outside, and checked offline.
//!
//! A checkpoint signs the log as it stood, every 1,000 entries or ten minutes, with a key made of the key that seals
//! secrets: whoever holds only the data directory can neither sign nor hide that signatures are gone. Places outside are
//! named when the server is started and by nothing else; each gets every entry once, in order, and what it missed when it
//! is there again. Nothing here decides what is logged.

pub(crate) mod sink;
pub(crate) mod verify;

use crate::seal::Keys;
use intel::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sink::{Sink, SinkAt};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use store::{AuditSink, Checkpoint, Store, StoreError};

/// Entries after which a checkpoint is made.
const CHECKPOINT_ENTRIES: u64 = 1_000;
/// Time after which a checkpoint is made, if there is anything new.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(600);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks that a place outside is left alone for after it failed, at most.
const MOST_REST: u32 = 60;
/// Entries handed on at once.
const BATCH: usize = 500;

/// A key pair from the 32 bytes of its seed.
pub(crate) fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, String> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| "the signing key cannot be made".to_owned())
}

/// The public half.
pub(crate) fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    <[u8; 32]>::try_from(pair.public_key().as_ref()).unwrap_or_default()
}

/// Whether a checkpoint's signature is one of its key, over what it says and the one before.
pub(crate) fn holds(made: &Checkpoint, before: Option<&Checkpoint>) -> Result<(), String> {
    let message = Checkpoint::message(made.seq, made.at, &made.chain, before);
    UnparsedPublicKey::new(&ED25519, made.key)
        .verify(&message, &made.signature)
        .map_err(|_| "its signature is wrong".to_owned())
}

/// Signs the log where that is due. Gives the place of the checkpoint made.
///
/// # Errors
/// Why it could not be signed.
pub(crate) fn checkpoint(store: &Store, keys: &Keys, now: Timestamp) -> Result<Option<u64>, String> {
    let words = |error: StoreError| error.to_string();
    let Some(head) = store.audit_log(1, None).map_err(words)?.pop() else { return Ok(None) };
    let last = store.last_checkpoint().map_err(words)?;
    let is_due = match &last {
        None => true,
        Some(last) => {
            let fresh = head.seq.saturating_sub(last.seq);
            // A clock that was put back makes a log wait for its entries, not for hours.
            fresh >= CHECKPOINT_ENTRIES || (fresh > 0 && (now < last.at || now.since(last.at) >= CHECKPOINT_AFTER))
        }
    };
    if !is_due {
        return Ok(None);
    }
    let Some(pair) = keys.signer()? else { return Ok(None) };
    let signature = pair.sign(&Checkpoint::message(head.seq, now, &head.chain, last.as_ref()));
    let made = Checkpoint {
        seq: head.seq,
        at: now,
        chain: head.chain,
        key: public(&pair),
        signature: signature.as_ref().to_vec(),
    };
    store.put_checkpoint(&made).map_err(words)?;
    Ok(Some(head.seq))
}

/// A place outside, and how it is with it.
struct Outlet {
    sink: Box<dyn Sink>,
    /// Looks until it is tried again.
    rest: u32,
    /// Failures in a row.
    failures: u32,
}

impl Outlet {
    /// Hands on what is new. Gives whether there may be more.
    fn catch_up(&mut self, store: &Store, now: Timestamp) -> Result<bool, StoreError> {
        let name = self.sink.name();
        let known = store.audit_sinks()?.into_iter().find(|sink| sink.name == name);
        let from = self.sink.reached().unwrap_or_else(|| known.as_ref().map_or(0, |sink| sink.seq));
        let entries = store.audit_after(from, BATCH)?;
        // A signature goes out behind the entry it is over.
        let reaches = entries.last().map_or(from, |entry| entry.seq);
        let signed = store.last_checkpoint()?.filter(|made| made.seq <= reaches);
        let before = signed.as_ref().map(|made| store.checkpoint_before(made.seq)).transpose()?.flatten();
        let (given, done) = self.sink.take(&entries, signed.as_ref().map(|made| (made, before.as_ref())));
        let seq = if given == 0 { from } else { entries.get(given - 1).map_or(from, |entry| entry.seq) };
        let error = done.err();
        match &error {
            None => (self.rest, self.failures) = (0, 0),
            Some(why) => {
                if self.failures == 0 {
                    tracing::error!(sink = name, error = why, "the audit log cannot be handed on; it is tried again");
                }
                self.failures = self.failures.saturating_add(1);
                self.rest = (1 << self.failures.min(6)).min(MOST_REST);
            }
        }
        let is_news = known.is_none_or(|known| known.seq != seq || known.error != error);
        if is_news {
            store.set_audit_sink(&AuditSink { name, seq, at: now, error: error.clone() })?;
        }
        Ok(error.is_none() && entries.len() == BATCH)
    }
}

/// Signs the log and hands it on, on a thread of its own, until it is stopped.
pub(crate) struct Auditor {
    stop: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Auditor {
    pub(crate) fn start(
        store: Arc<Store>,
        keys: Option<Arc<Keys>>,
        places: &[SinkAt],
        now: impl Fn() -> Timestamp + Send + 'static,
    ) -> std::io::Result<Auditor> {
        let mut outlets: Vec<Outlet> =
            places.iter().map(|at| Outlet { sink: at.open(), rest: 0, failures: 0 }).collect();
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            let mut unsigned = None;
            loop {
                let is_last = !matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
                look(&store, keys.as_deref(), &mut outlets, &mut unsigned, is_last, now());
                if is_last {
                    return;
                }
            }
        })?;
        Ok(Auditor { stop, thread })
    }

    /// Hands on what is left and ends.
    pub(crate) fn stop(self) {
        drop(self.stop);
        // A panic there was told where it happened.
        let _ = self.thread.join();
    }
}

fn look(
    store: &Store,
    keys: Option<&Keys>,
    outlets: &mut [Outlet],
    unsigned: &mut Option<String>,
    is_last: bool,
    now: Timestamp,
) {
    if let Some(keys) = keys {
        match checkpoint(store, keys, now) {
            Ok(_) => *unsigned = None,
            Err(why) => {
                if unsigned.as_ref() != Some(&why) {
                    tracing::error!(error = why, "the audit log is not signed");
                }
                *unsigned = Some(why);
            }
        }
    }
    for outlet in outlets {
        if outlet.rest > 0 && !is_last {
            outlet.rest -= 1;
            continue;
        }
        loop {
            match outlet.catch_up(store, now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "the audit log cannot be read or its way noted");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
