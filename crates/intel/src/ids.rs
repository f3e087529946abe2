//! Identifiers of what an operator configures and what the engine runs. The store hands them out, never twice.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A connection. At most 65,535 exist in one exchange, deleted ones included: the index stores two bytes each.
    ConnectionId(u16)
);
id!(
    /// A business rule.
    RuleId(u32)
);
id!(
    /// A sharing: source → rule → target.
    SharingId(u32)
);
id!(
    /// A target: destination connection + action + parameters.
    TargetId(u32)
);
id!(
    /// One execution of one job.
    RunId(u64)
);
id!(
    /// A dense indicator number: row id in the store and position in the index.
    IndicatorId(u32)
);

impl ConnectionId {
    /// The built-in connection that holds what people say: values added by hand, verdicts, imports.
    pub const MANUAL: ConnectionId = ConnectionId(1);
}
