//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod boxes;
mod drift;
mod ledger;
mod sim;
mod worlds;
