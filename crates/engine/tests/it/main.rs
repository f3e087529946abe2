//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod plans;
mod sim;
mod worlds;
