//! Progress of long work, for people who wait at a terminal. Everywhere else it is silent.

use super::output::{Out, thousands};
use crate::app::App;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(120);

/// A line that moves while something takes its time. Dropping it wipes the line.
pub(crate) struct Progress {
    bar: ProgressBar,
    watcher: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows what is done; with an exchange in this process also how far it is.
    pub(crate) fn start(out: &Out, what: &'static str, app: Option<&Arc<App>>) -> Progress {
        if out.quiet || !std::io::stderr().is_terminal() {
            return Progress { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()), watcher: None };
        }
        let bar = ProgressBar::new_spinner().with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(EVERY);
        let watcher = app.map(|app| watch(app.clone(), bar.clone(), what));
        Progress { bar, watcher }
    }
}

fn watch(app: Arc<App>, bar: ProgressBar, what: &'static str) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = channel::<()>();
    let handle = std::thread::spawn(move || {
        // Ends when the other side is dropped.
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
            let seen = app.progress();
            let phase = if seen.phase.is_empty() { what.to_owned() } else { seen.phase };
            bar.set_message(match seen.rows {
                0 => phase,
                rows => format!("{phase}  {} rows", thousands(rows)),
            });
        }
    });
    (stop, handle)
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, handle)) = self.watcher.take() {
            drop(stop);
            // A watcher that panicked has nothing left to say.
            let _ = handle.join();
        }
        self.bar.finish_and_clear();
    }
}
