//! The ranges no exchange may ever block: private, reserved and special-purpose networks, each with its RFC.

/// A special-purpose network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// In canonical form.
    pub network: &'static str,
    /// The RFC that sets it aside.
    pub rfc: u16,
    /// What for.
    pub purpose: &'static str,
}

const fn reserved(network: &'static str, rfc: u16, purpose: &'static str) -> Reserved {
    Reserved { network, rfc, purpose }
}

/// IPv4 and IPv6, from the special-purpose address registries and the multicast assignments. The documentation ranges
/// (RFC 5737, 3849, 9637) are left out on purpose: no host is there, so blocking one takes nothing from anybody, and
/// examples and exercises written with them behave like real ones.
pub const RESERVED: &[Reserved] = &[
    reserved("0.0.0.0/8", 1122, "this network"),
    reserved("10.0.0.0/8", 1918, "private use"),
    reserved("100.64.0.0/10", 6598, "shared address space of carriers"),
    reserved("127.0.0.0/8", 1122, "loopback"),
    reserved("169.254.0.0/16", 3927, "link local"),
    reserved("172.16.0.0/12", 1918, "private use"),
    reserved("192.0.0.0/24", 6890, "protocol assignments"),
    reserved("192.31.196.0/24", 7535, "AS112 redirection"),
    reserved("192.52.193.0/24", 7450, "automatic multicast tunneling"),
    reserved("192.88.99.0/24", 7526, "6to4 relay anycast, deprecated"),
    reserved("192.168.0.0/16", 1918, "private use"),
    reserved("192.175.48.0/24", 7534, "AS112 direct delegation"),
    reserved("198.18.0.0/15", 2544, "benchmarking"),
    reserved("224.0.0.0/4", 5771, "multicast"),
    reserved("240.0.0.0/4", 1112, "reserved for future use"),
    reserved("255.255.255.255", 919, "limited broadcast"),
    reserved("::", 4291, "unspecified"),
    reserved("::1", 4291, "loopback"),
    reserved("::ffff:0:0/96", 4291, "IPv4 mapped"),
    reserved("64:ff9b::/96", 6052, "IPv4 translation"),
    reserved("64:ff9b:1::/48", 8215, "local IPv4 translation"),
    reserved("100::/64", 6666, "discard only"),
    reserved("100:0:0:1::/64", 9780, "dummy prefix"),
    reserved("2001::/23", 2928, "protocol assignments"),
    reserved("2002::/16", 3056, "6to4"),
    reserved("2620:4f:8000::/48", 7534, "AS112 direct delegation"),
    reserved("5f00::/16", 9602, "segment routing identifiers"),
    reserved("fc00::/7", 4193, "unique local"),
    reserved("fe80::/10", 4291, "link local"),
    reserved("fec0::/10", 3879, "site local, deprecated"),
    reserved("ff00::/8", 4291, "multicast"),
];
