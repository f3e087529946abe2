//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod sim;
mod staging;
mod worlds;
