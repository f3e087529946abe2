//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod boxes;
mod capacity;
#[cfg(unix)]
mod disk;
mod drift;
mod faults;
mod foreign;
mod glance;
mod guard_files;
mod guarding;
mod ledger;
mod meetings;
mod notices;
mod past;
mod plans;
mod restored;
mod shared_lists;
mod sim;
mod staging;
mod traps;
mod trials;
mod undone;
mod wide_worlds;
mod worlds;
