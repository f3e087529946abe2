//! Where calls may go: one decision for sources, destinations and everything else that leaves.
//!
//! A name is looked up once, every address it has is judged, and the connection is made to an address that was judged.
//! Spellings that one parser reads as a name and another as an address are refused before any of that.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// What an operator allows beyond the public Internet over https.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// Networks that are not public and may be called all the same, on any port. Cloud metadata services stay refused.
    pub allow_private: Vec<IpNet>,
    /// Calls without encryption.
    pub allow_http: bool,
    /// Ports of public addresses beyond 443, 8443 and, where http is allowed, 80.
    pub ports: Vec<u16>,
}

/// Names of services that hand out credentials of the machine.
const METADATA_NAMES: [&str; 6] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Addresses of such services.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same in IPv6.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl Egress {
    /// Reads an address that is about to be called and refuses what can be refused without looking up its name.
    ///
    /// # Errors
    /// Why not, without the address's path, query or user.
    pub fn check_url(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|error| format!("the address cannot be read: {error}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err("http without encryption is not allowed for this connection; use https".into()),
            other => return Err(format!("the scheme {other:?} is not allowed; use https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials do not belong into an address; use the settings for them".into());
        }
        let host = url.host().ok_or("the address has no host")?;
        let port = url.port_or_known_default().unwrap_or(443);
        match host {
            Host::Ipv4(address) => {
                // The parser reads 0x7f.1, 2130706433 and %3127.0.0.1 as well; we do not.
                if written_host(text) != Some(&*address.to_string()) {
                    return Err("the host is an address in an odd spelling; write it as four decimal numbers".into());
                }
                self.check_address(address.into(), port)?;
            }
            Host::Ipv6(address) => self.check_address(address.into(), port)?,
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                if name.is_empty() || METADATA_NAMES.contains(&name) || name.ends_with(".metadata.google.internal") {
                    return Err("the host is a metadata service or no host at all".into());
                }
            }
        }
        Ok(url)
    }

    /// May this address be called on this port?
    ///
    /// # Errors
    /// Why not, without naming the address: who asks must not learn what a name resolves to in here.
    pub fn check_address(&self, address: IpAddr, port: u16) -> Result<(), String> {
        let address = address.to_canonical();
        if is_metadata(address) {
            return Err("the host is a metadata service".into());
        }
        if self.allow_private.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        if let Some(what) = not_public(address) {
            return Err(format!("the host has {what}; allow its network for this connection if that is meant"));
        }
        self.check_port(port)
    }

    /// For a host that only a proxy will look up: names that can only mean something inside are refused.
    pub(super) fn check_unresolved(&self, url: &Url) -> Result<(), String> {
        if let Some(Host::Domain(name)) = url.host() {
            let name = name.trim_end_matches('.');
            let inside = ["localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp", "home"];
            let ends =
                |suffix: &str| name.strip_suffix(suffix).is_some_and(|head| head.is_empty() || head.ends_with('.'));
            if self.allow_private.is_empty() {
                if !name.contains('.') || inside.iter().any(|suffix| ends(suffix)) {
                    return Err("the host is a name of an inner network; allow that network if it is meant".into());
                }
                self.check_port(url.port_or_known_default().unwrap_or(443))?;
            }
        }
        Ok(())
    }

    fn check_port(&self, port: u16) -> Result<(), String> {
        if port == 443 || port == 8443 || (port == 80 && self.allow_http) || self.ports.contains(&port) {
            return Ok(());
        }
        Err(format!("port {port} of a public address is not allowed; allow it for this connection if it is meant"))
    }
}

/// The host as the text spells it: between `//` (and a user) and the port, path, query or fragment.
fn written_host(text: &str) -> Option<&str> {
    let rest = text.split_once("://")?.1;
    let authority = rest.split(['/', '\\', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(host.rsplit_once(':').map_or(host, |(host, _)| host))
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.contains(&v6) || embedded(v6).is_some_and(|v4| METADATA_V4.contains(&v4)),
    }
}

/// The IPv4 address that an IPv6 address leads to: NAT64, 6to4, and the obsolete compatible form.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 1, ..] => Some(v4(s[6], s[7])),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// Why an address is not one of the public Internet; None if it is.
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => not_public_v6(v6),
    }
}

fn not_public_v4(v4: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = v4.octets();
    match (a, b, c) {
        (0, ..) => Some("an unspecified address"),
        (127, ..) => Some("a loopback address"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("a private address"),
        (100, 64..=127, _) => Some("an address of a carrier's inner network"),
        (169, 254, _) => Some("a link-local address"),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Some("an address reserved for documentation"),
        (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _) => Some("a reserved address"),
        (224..=239, ..) => Some("a multicast address"),
        (240.., ..) => Some("a reserved address"),
        _ => None,
    }
}

fn not_public_v6(v6: Ipv6Addr) -> Option<&'static str> {
    let s = v6.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x2002, ..] => embedded(v6).and_then(not_public_v4),
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("an address reserved for documentation"),
        // Teredo, benchmarking, ORCHID and the rest of what IETF keeps for protocols.
        [0x2001, 0..=0x1ff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(nets: &[&str]) -> Egress {
        Egress {
            allow_private: nets.iter().map(|net| net.parse().unwrap()).collect(),
            allow_http: true,
            ports: Vec::new(),
        }
    }

    /// Every way we know to write an address that is not public.
    const REFUSED: &[&str] = &[
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://0X7F.1/",
        "http://127.0.0.1./",
        "http://127.000.000.001/",
        "http://%31%32%37.0.0.1/",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://①②⑦.0.0.1/",
        "http://127.255.255.254/",
        "http://0/",
        "http://0.0.0.0/",
        "http://0.1.2.3/",
        "http://10.0.0.1/",
        "http://10.1/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.1.1/",
        "http://192.168.257/",
        "http://0300.0250.1.1/",
        "http://100.64.0.1/",
        "http://100.127.255.255/",
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.1.1/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://192.0.0.1/",
        "http://192.0.2.1/",
        "http://198.51.100.7/",
        "http://203.0.113.9/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://192.88.99.1/",
        "http://168.63.129.16/",
        "http://100.100.100.200/",
        "http://[::]/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:10.0.0.1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1::10.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[2002:c0a8:101::1]/",
        "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "http://[2001:db8::1]/",
        "http://[3fff::1]/",
        "http://[fc00::1]/",
        "http://[fd12:3456::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[100::1]/",
        "http://[5f00::1]/",
        "http://[4000::1]/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata/",
        "http://user@127.0.0.1/",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@127.0.0.1:80/",
        "http://127.0.0.1:80\\@example.com/",
        "http:\\\\127.0.0.1\\",
        "http:127.0.0.1",
        "http:/127.0.0.1/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:text/plain,x",
        "jar:http://example.com!/",
        "http://user:canary@example.com/",
        "http://",
        "not an address",
        "",
    ];

    #[test]
    fn odd_and_private_spellings_are_refused() {
        assert!(REFUSED.len() >= 60);
        for text in REFUSED {
            let error = egress(&[]).check_url(text).expect_err(text);
            assert!(!error.contains("canary") && !error.contains("169."), "{error}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "https://example.com/",
            "https://example.com:8443/x?y#z",
            "http://example.com/",
            "https://8.8.8.8/",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://[2606:4700::1111]/",
            "https://[64:ff9b::8.8.8.8]/",
            "https://xn--bcher-kva.example/",
        ] {
            assert_eq!(egress(&[]).check_url(text).map(drop), Ok(()), "{text}");
        }
    }

    #[test]
    fn schemes_and_ports() {
        let strict = Egress::default();
        for (text, fine) in [
            ("https://8.8.8.8/", true),
            ("https://8.8.8.8:8443/", true),
            ("http://8.8.8.8/", false),
            ("https://8.8.8.8:22/", false),
            ("https://8.8.8.8:80/", false),
            ("https://8.8.8.8:9443/", false),
        ] {
            assert_eq!(strict.check_url(text).is_ok(), fine, "{text}");
        }
        let wider = Egress { ports: vec![9443], ..Egress::default() };
        assert!(wider.check_url("https://8.8.8.8:9443/").is_ok());
        assert!(wider.check_url("https://8.8.8.8:9444/").is_err());
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_else() {
        let wide = egress(&["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "fd00::/8", "100.64.0.0/10"]);
        for (text, fine) in [
            ("http://10.1.2.3:8081/", true),
            ("http://[::ffff:10.1.2.3]/", true),
            ("http://127.0.0.1:22/", true),
            ("http://169.254.1.1/", true),
            ("http://[fd12::1]/", true),
            ("http://192.168.0.1/", false),
            ("http://169.254.169.254/", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://[64:ff9b::a9fe:a9fe]/", false),
            ("http://[2002:a9fe:a9fe::1]/", false),
            ("http://[fd00:ec2::254]/", false),
            ("http://100.100.100.200/", false),
            ("http://0x0a.1.2.3/", false),
            ("http://metadata.google.internal/", false),
        ] {
            assert_eq!(wide.check_url(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn names_of_inner_networks_do_not_go_to_a_proxy() {
        let check = |egress: &Egress, text: &str| egress.check_unresolved(&egress.check_url(text).unwrap()).is_ok();
        for (text, fine) in [
            ("https://example.com/", true),
            ("https://mylocal.com/", true),
            ("https://localhost/", false),
            ("https://x.localhost/", false),
            ("https://printer/", false),
            ("https://vault.internal./", false),
            ("https://example.com:22/", false),
        ] {
            assert_eq!(check(&egress(&[]), text), fine, "{text}");
            assert!(check(&egress(&["10.0.0.0/8"]), text), "{text}");
        }
    }
}
