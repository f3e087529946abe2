//! What is the matter with the disk or the file, as the last operations found it.

use crate::error::{Result, StoreError};
use crate::{Store, config};
use intel::Timestamp;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why nothing can be written at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No room. It ends when there is some.
    Full,
    /// Another program holds a lock on the file. It ends when that lets go.
    Locked,
    /// The file or its directory cannot be written or opened. It ends when it can.
    ReadOnly,
    /// A write failed in the system below: what the disk holds is known again only when the store is opened anew.
    /// Nothing is written until then.
    Failed,
    /// The file is not what we wrote. Nothing is written any more: a backup must be restored.
    Damaged,
}

impl Trouble {
    /// For people and for programs: a few words that do not change.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::Full => "disk full",
            Trouble::Locked => "store locked",
            Trouble::ReadOnly => "store cannot be written",
            Trouble::Failed => "store failed",
            Trouble::Damaged => "store damaged",
        }
    }

    /// Whether it never ends while the store is open.
    pub fn is_lasting(self) -> bool {
        matches!(self, Trouble::Failed | Trouble::Damaged)
    }

    /// What an error says of the disk or the file; None: it is another sort of error.
    fn of(error: &StoreError) -> Option<Trouble> {
        use std::io::ErrorKind;
        Some(match error {
            StoreError::Full => Trouble::Full,
            StoreError::Locked => Trouble::Locked,
            StoreError::Damaged(_) => Trouble::Damaged,
            StoreError::Io { .. } if error.is_fatal() => Trouble::Failed,
            StoreError::Io { error, .. } => match error.kind() {
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied | ErrorKind::NotFound => Trouble::ReadOnly,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// The trouble there is, for every thread to see.
#[derive(Debug, Default)]
pub(crate) struct Watch(AtomicU8);

const ALL: [Trouble; 5] = [Trouble::Full, Trouble::Locked, Trouble::ReadOnly, Trouble::Failed, Trouble::Damaged];

impl Watch {
    pub(crate) fn now(&self) -> Option<Trouble> {
        ALL.get(usize::from(self.0.load(Ordering::Acquire)).wrapping_sub(1)).copied()
    }

    fn set(&self, to: Option<Trouble>) {
        let to = to.and_then(|to| ALL.iter().position(|trouble| *trouble == to)).map_or(0, |at| at + 1);
        // What lasts is not replaced by what passes.
        let change = |was: u8| {
            let lasts = ALL.get(usize::from(was).wrapping_sub(1)).is_some_and(|trouble| trouble.is_lasting());
            (!lasts).then_some(u8::try_from(to).unwrap_or(0))
        };
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// After a write.
    pub(crate) fn wrote<T>(&self, result: &Result<T>) {
        match result {
            Ok(_) => self.set(None),
            Err(error) => {
                if let Some(trouble) = Trouble::of(error) {
                    self.set(Some(trouble));
                }
            }
        }
    }

    /// After reading: only that the file is damaged says something about writing.
    pub(crate) fn read<T>(&self, result: &Result<T>) {
        if let Err(StoreError::Damaged(_)) = result {
            self.set(Some(Trouble::Damaged));
        }
    }
}

impl Store {
    /// What is the matter with the disk or the file, as the last operations found it. None: nothing is known to be.
    pub fn trouble(&self) -> Option<Trouble> {
        self.watch.now()
    }

    /// Writes a little, to see whether trouble that may end has ended.
    pub fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx, _| config::write_setting(tx, "probed", &now.micros().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_passes_and_what_lasts_lasts() {
        let io = |kind| StoreError::Io { doing: "x".into(), error: std::io::Error::from(kind) };
        let watch = Watch::default();
        assert_eq!(watch.now(), None);
        for (error, trouble) in [
            (StoreError::Full, Trouble::Full),
            (StoreError::Locked, Trouble::Locked),
            (io(std::io::ErrorKind::ReadOnlyFilesystem), Trouble::ReadOnly),
        ] {
            watch.wrote::<()>(&Err(error));
            assert_eq!(watch.now(), Some(trouble));
            watch.read(&Ok(()));
            assert_eq!(watch.now(), Some(trouble), "to read is no proof");
            watch.wrote::<()>(&Err(StoreError::Conflict("another sort".into())));
            assert_eq!(watch.now(), Some(trouble));
            watch.wrote(&Ok(()));
            assert_eq!(watch.now(), None);
        }
        watch.wrote::<()>(&Err(io(std::io::ErrorKind::Other)));
        watch.wrote(&Ok(()));
        watch.wrote::<()>(&Err(StoreError::Full));
        assert_eq!(watch.now(), Some(Trouble::Failed));
        let watch = Watch::default();
        watch.read::<()>(&Err(StoreError::Damaged("a page".into())));
        watch.wrote(&Ok(()));
        assert_eq!(watch.now(), Some(Trouble::Damaged));
    }
}
