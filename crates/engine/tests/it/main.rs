//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
#[cfg(unix)]
mod disk;
mod guarding;
mod notices;
mod sim;
mod staging;
mod traps;
mod worlds;
