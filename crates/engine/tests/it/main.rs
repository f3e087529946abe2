//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod past;
mod sim;
mod worlds;
