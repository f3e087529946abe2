//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
#[cfg(unix)]
mod disk;
mod faults;
mod guarding;
mod notices;
mod past;
mod plans;
mod sim;
mod staging;
mod traps;
mod worlds;
