//! Progress of long work, for people who wait at a terminal. Everywhere else it is silent.

use super::output::{Out, thousands};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(120);

/// How far the work in this process is.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Far>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Far {
    /// What is worked on.
    what: String,
    /// Rows read of it.
    rows: u64,
}

impl Meter {
    fn far(&self) -> MutexGuard<'_, Far> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In words; None while nothing was told.
    fn words(&self) -> Option<String> {
        let far = self.far();
        match (far.what.is_empty(), far.rows) {
            (true, _) => None,
            (false, 0) => Some(far.what.clone()),
            (false, rows) => Some(format!("{}  {} rows", far.what, thousands(rows))),
        }
    }
}

impl engine::Progress for Meter {
    fn rows(&self, connection: &str, read: u64) {
        let mut far = self.far();
        if far.what != connection {
            connection.clone_into(&mut far.what);
        }
        far.rows = read;
    }

    fn phase(&self, what: &str) {
        *self.far() = Far { what: what.to_owned(), rows: 0 };
    }
}

/// A line that moves while something takes its time. Dropping it wipes the line.
pub(crate) struct Progress(Option<Shown>);

struct Shown {
    bar: ProgressBar,
    stop: Sender<()>,
    watcher: JoinHandle<()>,
}

impl Progress {
    /// Shows what is done and, where the work is in this process, how far it is.
    pub(crate) fn start(out: &Out, what: &str, meter: &Arc<Meter>) -> Progress {
        if out.quiet || !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        *meter.far() = Far::default();
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(EVERY);
        let (stop, stopped) = channel::<()>();
        let (meter, drawn, what) = (meter.clone(), bar.clone(), what.to_owned());
        let watcher = std::thread::spawn(move || {
            // Ends when the other side is dropped.
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Some(words) = meter.words() {
                    drawn.set_message(format!("{what}: {}", super::output::printable(&words)));
                }
            }
        });
        Progress(Some(Shown { bar, stop, watcher }))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Shown { bar, stop, watcher }) = self.0.take() {
            drop(stop);
            // A watcher that panicked has nothing left to say.
            let _ = watcher.join();
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Progress as _;

    #[test]
    fn the_meter_says_what_is_worked_on() {
        let meter = Meter::default();
        assert_eq!(meter.words(), None);
        meter.rows("ipsum", 1_536);
        assert_eq!(meter.words().as_deref(), Some("ipsum  1 536 rows"));
        meter.rows("urlhaus", 512);
        assert_eq!(meter.words().as_deref(), Some("urlhaus  512 rows"));
        meter.phase("planning");
        assert_eq!(meter.words().as_deref(), Some("planning"));
    }
}
