//! The engine against a simulated world: no network, no sleep, every choice from a seed.

mod basics;
mod boxes;
mod capacity;
mod drift;
mod ledger;
mod restored;
mod shared_lists;
mod sim;
mod worlds;
