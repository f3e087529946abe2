//! What is on the disk and what is only on its way: files as they were last synced, and everything since.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a disk writes at once, in bytes.
const SECTOR: usize = 512;

/// What happens to a file between two syncs.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Debug, Default)]
struct Tracked {
    /// As last synced. None: not even its name is durable.
    durable: Option<Vec<u8>>,
    pending: Vec<Event>,
}

/// All files of a disk.
#[derive(Debug, Default)]
pub(crate) struct Images {
    files: BTreeMap<PathBuf, Tracked>,
}

impl Images {
    pub(crate) fn open(&mut self, path: &Path) {
        if !self.files.contains_key(path) {
            // Nobody has it open yet, so closing this look at it drops no lock of ours.
            let tracked = Tracked { durable: fs::read(path).ok(), pending: Vec::new() };
            self.files.insert(path.to_owned(), tracked);
        }
    }

    pub(crate) fn event(&mut self, path: &Path, event: Event) {
        self.files.entry(path.to_owned()).or_default().pending.push(event);
    }

    pub(crate) fn synced(&mut self, path: &Path) {
        let file = self.files.entry(path.to_owned()).or_default();
        let mut bytes = file.durable.take().unwrap_or_default();
        for event in file.pending.drain(..) {
            apply(&mut bytes, &event);
        }
        file.durable = Some(bytes);
    }

    /// A sync that failed: what it should have written is lost.
    pub(crate) fn lost(&mut self, path: &Path) {
        self.files.entry(path.to_owned()).or_default().pending.clear();
    }

    pub(crate) fn deleted(&mut self, path: &Path, is_synced: bool) {
        if is_synced {
            self.files.remove(path);
        } else {
            // The name may still be there after a cut. An empty log or journal is as good as none.
            self.event(path, Event::Truncate(0));
        }
    }
}

fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Truncate(size) => bytes.resize(*size, 0),
        Event::Write(at, data) => {
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
    }
}

/// What a power cut does to what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it is lost.
    Everything,
    /// All of it is there.
    Nothing,
    /// The first so-and-so-many writes of each file are there.
    Tail,
    /// Any of its sectors are there, in any order, a few of them torn.
    Sectors,
}

impl Loss {
    /// All there are.
    pub const ALL: [Loss; 4] = [Loss::Everything, Loss::Nothing, Loss::Tail, Loss::Sectors];
}

/// A disk at one moment.
pub struct Moment<'a> {
    dir: &'a Path,
    images: &'a Images,
}

impl<'a> Moment<'a> {
    pub(crate) fn new(dir: &'a Path, images: &'a Images) -> Moment<'a> {
        Moment { dir, images }
    }

    /// Writes and cuts that are not synced.
    pub fn n_pending(&self) -> usize {
        self.images.files.values().map(|file| file.pending.len()).sum()
    }

    /// Lays out what a power cut leaves, below another directory under the same names.
    ///
    /// # Errors
    /// Of the file system.
    pub fn lay_out(&self, into: &Path, loss: Loss, seed: u64) -> std::io::Result<()> {
        let mut dice = Dice(seed);
        for (path, file) in &self.images.files {
            let Some(bytes) = left(file, loss, &mut dice) else { continue };
            let to = into.join(path.strip_prefix(self.dir).unwrap_or(path));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(to, bytes)?;
        }
        Ok(())
    }
}

/// What is left of a file; None: nothing, not even a name.
fn left(file: &Tracked, loss: Loss, dice: &mut Dice) -> Option<Vec<u8>> {
    let is_named = file.durable.is_some();
    let mut bytes = file.durable.clone().unwrap_or_default();
    match loss {
        Loss::Everything => return is_named.then_some(bytes),
        Loss::Nothing => file.pending.iter().for_each(|event| apply(&mut bytes, event)),
        Loss::Tail => {
            let n = dice.below(file.pending.len() + 1);
            file.pending[..n].iter().for_each(|event| apply(&mut bytes, event));
        }
        Loss::Sectors => {
            let mut order: Vec<&Event> = file.pending.iter().collect();
            for at in (1..order.len()).rev() {
                order.swap(at, dice.below(at + 1));
            }
            for event in order {
                match event {
                    Event::Truncate(_) if dice.below(2) == 0 => {}
                    Event::Truncate(_) => apply(&mut bytes, event),
                    Event::Write(at, data) => sectors(&mut bytes, *at, data, dice),
                }
            }
        }
    }
    (is_named || !bytes.is_empty() || dice.below(2) == 0).then_some(bytes)
}

/// Some sectors of a write; a torn one is new up to a byte in its middle.
fn sectors(bytes: &mut Vec<u8>, at: usize, data: &[u8], dice: &mut Dice) {
    let mut done = 0;
    while done < data.len() {
        let end = data.len().min((at + done) / SECTOR * SECTOR + SECTOR - at);
        let torn = match dice.below(16) {
            0..=7 => end,
            8 => done + dice.below(end - done),
            _ => done,
        };
        if torn > done {
            apply(bytes, &Event::Write(at + done, data[done..torn].to_vec()));
        }
        done = end;
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}
