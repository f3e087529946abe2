//! The targets as tests: seeds, kept cases, and as many seeded mutations as time allows.

use crate::Target;
use crate::corpus;
use crate::mutate::{Rng, mutated};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What was tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Seeds of the repository.
    pub seeds: usize,
    /// Kept cases.
    pub cases: usize,
    /// Mutations.
    pub mutations: u64,
}

/// Runs a target over its seeds, its cases and `runs` mutations, the first of which is made with `seed`.
///
/// # Errors
/// The input that broke a law, as text that can be pasted into a file, and how to run it again.
pub fn run(target: &Target, seed: u64, runs: u64) -> Result<Tried, String> {
    let seeds = corpus::seeds(target);
    let cases = corpus::cases(target);
    let told = |data: &[u8], what: &str| {
        let name = target.name;
        format!("{name}: {what}\n  input ({} bytes): \"{}\"", data.len(), data.escape_ascii())
    };
    for (at, data) in seeds.iter().enumerate() {
        attempt(target, data).map_err(|why| told(data, &format!("seed {at}: {why}")))?;
    }
    for (name, data) in &cases {
        attempt(target, data).map_err(|why| told(data, &format!("fuzz/cases/{}/{name}: {why}", target.name)))?;
    }
    let all: Vec<Vec<u8>> = seeds.iter().cloned().chain(cases.iter().map(|(_, data)| data.clone())).collect();
    for n in 0..runs {
        let this = seed.wrapping_add(n);
        let mut rng = Rng(this.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let data = mutated(&all, target.words, target.longest, &mut rng);
        attempt(target, &data).map_err(|why| {
            told(
                &data,
                &format!("{why}\n  again: IOCAST_SEED={this} IOCAST_FUZZ_RUNS=1 cargo test -p fuzzing {}", target.name),
            )
        })?;
    }
    Ok(Tried { seeds: seeds.len(), cases: cases.len(), mutations: runs })
}

fn attempt(target: &Target, data: &[u8]) -> Result<(), String> {
    let tried = catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    tried.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |text| (*text).to_owned()),
    })
}
