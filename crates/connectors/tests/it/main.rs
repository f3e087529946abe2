//! What the connectors promise to people, in one binary.

mod reference;
