//! How much of a pull is held in memory: a body within its own bounds still makes rows many times its size.

use kit::ConnectorError;

/// The bytes that staged rows may come to, and those they do come to.
#[derive(Debug)]
pub(crate) struct Room {
    held: usize,
    most: usize,
}

impl Room {
    pub(crate) fn new(most: usize) -> Room {
        Room { held: 0, most }
    }

    /// Takes note of what is kept. The row that goes over the bound is kept, so that the bound is seen to be passed.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(bytes);
    }

    /// Everything held was handed on.
    pub(crate) fn clear(&mut self) {
        self.held = 0;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.held > self.most
    }

    /// What is wrong with a page or run of which `n` keys were kept and not all could be.
    pub(crate) fn fault(&self, n: usize) -> Option<ConnectorError> {
        self.is_full().then(|| {
            ConnectorError::Unexpected(format!(
                "too large: the new rows of one page or whole run come to more than {} MiB in memory ({n} keys and more); \
                 nothing of it was kept. Ask the source for less at a time, or split it into several connections",
                self.most.div_ceil(1 << 20)
            ))
        })
    }
}
