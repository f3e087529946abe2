//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod notices;
#[cfg(unix)]
mod disk;
mod sim;
mod staging;
mod traps;
mod worlds;
