//! Programs that push and programs that follow: how many at once, and how the latter hear of a change.
//!
//! The engine blocks and followers must not: it says each new revision to a watch, on which any number of tasks can wait
//! without a thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Requests that push to one bucket at once.
const PUSHES_PER_BUCKET: usize = 4;
/// Requests that push at once.
const PUSHES: usize = 16;
/// Streams of events at once.
const STREAMS: usize = 64;
/// Requests that wait for a change at once.
const WAITERS: usize = 256;

/// Who is here.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// The last revision that can be read.
    pub(crate) revision: watch::Sender<u64>,
    pushes: Arc<Mutex<Pushes>>,
    streams: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Pushes {
    n_all: usize,
    n_of: BTreeMap<String, usize>,
    /// Keys of requests that are being worked on: caller and bucket, key.
    keys: BTreeSet<(String, String)>,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd {
            revision: watch::Sender::new(0),
            pushes: Arc::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            waiters: Arc::new(Semaphore::new(WAITERS)),
        }
    }
}

fn lock(pushes: &Mutex<Pushes>) -> MutexGuard<'_, Pushes> {
    pushes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among those that push; given back when dropped.
#[derive(Debug)]
pub(crate) struct Pushing {
    pushes: Arc<Mutex<Pushes>>,
    bucket: String,
}

impl Drop for Pushing {
    fn drop(&mut self) {
        let mut pushes = lock(&self.pushes);
        pushes.n_all -= 1;
        if let Some(n) = pushes.n_of.get_mut(&self.bucket) {
            *n -= 1;
            if *n == 0 {
                pushes.n_of.remove(&self.bucket);
            }
        }
    }
}

/// A key that is being worked on; free again when dropped.
#[derive(Debug)]
pub(crate) struct Claimed {
    pushes: Arc<Mutex<Pushes>>,
    key: (String, String),
}

impl Drop for Claimed {
    fn drop(&mut self) {
        lock(&self.pushes).keys.remove(&self.key);
    }
}

impl Crowd {
    /// A place for a request that pushes to a bucket. None: too many do.
    pub(crate) fn push(&self, bucket: &str) -> Option<Pushing> {
        let mut pushes = lock(&self.pushes);
        let n_here = pushes.n_of.get(bucket).copied().unwrap_or(0);
        if pushes.n_all >= PUSHES || n_here >= PUSHES_PER_BUCKET {
            return None;
        }
        pushes.n_all += 1;
        pushes.n_of.insert(bucket.to_owned(), n_here + 1);
        Some(Pushing { pushes: self.pushes.clone(), bucket: bucket.to_owned() })
    }

    /// Takes a key. None: a request with it is being worked on.
    pub(crate) fn claim(&self, caller: &str, key: &str) -> Option<Claimed> {
        let key = (caller.to_owned(), key.to_owned());
        let is_free = lock(&self.pushes).keys.insert(key.clone());
        is_free.then(|| Claimed { pushes: self.pushes.clone(), key })
    }

    /// A place for a stream of events. None: too many are open.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    /// A place to wait in. None: too many wait.
    pub(crate) fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.waiters.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let crowd = Crowd::default();
        let mut held: Vec<_> = (0..PUSHES_PER_BUCKET).map(|_| crowd.push("a").unwrap()).collect();
        assert!(crowd.push("a").is_none());
        held.extend((PUSHES_PER_BUCKET..PUSHES).map(|n| crowd.push(&format!("b{n}")).unwrap()));
        assert!(crowd.push("c").is_none(), "too many in all");
        held.remove(0);
        assert!(crowd.push("a").is_some());
        drop(held);
        assert_eq!(lock(&crowd.pushes).n_of, BTreeMap::new());
    }

    #[test]
    fn a_key_is_worked_on_once_at_a_time() {
        let crowd = Crowd::default();
        let claimed = crowd.claim("me", "k");
        assert!(claimed.is_some() && crowd.claim("me", "k").is_none() && crowd.claim("you", "k").is_some());
        drop(claimed);
        assert!(crowd.claim("me", "k").is_some());
    }
}
