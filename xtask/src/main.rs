//! iocast
fn main() {}
