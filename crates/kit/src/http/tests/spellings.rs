//! Where calls may not go, however it is spelled.

use super::*;
use std::net::{IpAddr, Ipv4Addr};

/// Shown: a redirect is followed only inside its origin, three times at most, and only for reading. How: a server over
/// real connections that sends us to 13 other places with a credential at stake. Figures: 1 call each; connections to
/// another origin 0; the credential in no message.
#[test]
fn f23_redirects_stay_inside_the_origin() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let there = elsewhere.local_addr().unwrap();
    let to = |location: &str| {
        raw(&format!("HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0\nConnection: close"), b"")
    };
    let token = Secret::new("canary");
    for location in [
        format!("http://{there}/x"),
        format!("http://{there}/?t=canary"),
        format!("//{there}/x"),
        format!("\\\\{there}\\x"),
        format!("http://localhost:{}/", there.port()),
        "https://127.0.0.1/".into(),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://2852039166/".into(),
        "file:///etc/passwd".into(),
        "gopher://127.0.0.1/".into(),
        "http://[::1]/".into(),
        "javascript:alert(1)".into(),
        String::new(),
    ] {
        // An empty location is the same address again: a loop, refused after three.
        let server = Server::new((0..4).map(|_| to(&location)).collect());
        let result = http(config()).get(&server.url("/a")).bearer(&token).send().map(|_| String::new());
        let why = unexpected(result);
        assert!(!why.contains("canary") && why.contains("redirects"), "{why}");
        assert_eq!(server.requests().len(), if location.is_empty() { 4 } else { 1 }, "{location}");
    }
    assert_eq!(elsewhere.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody called the other origin");

    let server = Server::new(vec![to("/b"), to("c?y=2"), to("/d"), ok("end")]);
    let body = http(config()).get(&server.url("/a?x=1")).bearer(&token).send().unwrap().text().unwrap();
    assert_eq!(body, "end");
    let lines: Vec<String> = server.requests().iter().map(|text| text.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(lines, ["/a?x=1", "/b", "/c?y=2", "/d"]);
    let server = Server::new(vec![to("/b")]);
    let result = http(config()).post_json(&server.url("/a"), &json!({})).send().map(|_| String::new());
    assert!(unexpected(result).contains("more than reading"));
}

/// Shown: the address that was judged is the one that is called; a name with one bad address among its addresses is
/// refused. How: a resolver of the test, a listener that must not hear anything. Figures: 6 names, 0 connections, one
/// look-up a call.
#[test]
fn f23_only_a_checked_address_is_called() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let strict =
        || HttpConfig { egress: Egress { allow_http: true, ports: vec![port], ..Egress::default() }, ..config() };
    let table: [(&str, &[&str]); 6] = [
        ("inside.example", &["127.0.0.1"]),
        ("mixed.example", &["8.8.8.8", "127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("nat.example", &["64:ff9b::7f00:1"]),
        ("cloud.example", &["169.254.169.254"]),
        ("six.example", &["::1"]),
    ];
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |host, port| {
        count.fetch_add(1, Ordering::Relaxed);
        let (_, found) = table.iter().find(|(name, _)| *name == host).ok_or(io::ErrorKind::NotFound)?;
        Ok(found.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port)).collect())
    });
    for (name, _) in table {
        let http = with_lookup(strict(), Arc::clone(&lookup));
        let why = denied(get(&http, &format!("http://{name}:{port}/")));
        assert!(!why.contains("127.") && !why.contains("169.") && !why.contains("::"), "{why}");
        assert_eq!(http.calls(), 1, "a refusal is not repeated");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody was called");
    assert!(denied(get(&http(strict()), &format!("http://127.0.0.1:{port}/"))).contains("loopback"));
    assert!(denied(get(&http(strict()), &format!("http://localhost:{port}/"))).contains("loopback"));

    // With the network allowed the name is looked up once, and that answer is what is connected to.
    let server = Server::new(vec![ok("fine")]);
    let port = server.address.port();
    asked.store(0, Ordering::Relaxed);
    let http = with_lookup(config(), lookup);
    assert_eq!(get(&http, &format!("http://inside.example:{port}/")).unwrap(), "fine");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(server.requests()[0].to_ascii_lowercase().contains(&format!("host: inside.example:{port}\r\n")));
    let (_, why) = later(get(&http, "http://unknown.example/"));
    assert!(!why.is_empty());
}

/// Every way we know to write an IPv4 address as a host.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let whole = u32::from(address);
    let wide = |text: &str, zero: u32| -> String {
        text.chars().map(|at| at.to_digit(10).and_then(|n| char::from_u32(zero + n)).unwrap_or(at)).collect()
    };
    let dotted = address.to_string();
    let (high, low) = (whole >> 16, whole & 0xffff);
    vec![
        dotted.clone(),
        format!("{dotted}."),
        format!("{whole}"),
        format!("{whole:#x}"),
        format!("0{whole:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("{a:#X}.{b}.{c:#x}.{d}").replace("0X", "0x"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("{a}.{b}.{}", whole & 0xffff),
        format!("{a}.{}", whole & 0xff_ffff),
        format!("{a:#x}.{}", whole & 0xff_ffff),
        dotted.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        dotted.replace('.', "%2e"),
        wide(&dotted, 0xff10),
        dotted.replace('.', "\u{3002}"),
        dotted.replace('.', "\u{ff0e}"),
        wide(&dotted, 0x1d7d8),
        format!("user@{dotted}"),
        format!("feeds.example@{dotted}"),
        format!("feeds.example:443@{dotted}"),
        format!("{dotted}\\@feeds.example"),
        format!("[::{dotted}]"),
        format!("[::ffff:{dotted}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{dotted}]"),
        format!("[::ffff:0:{dotted}]"),
        format!("[64:ff9b::{dotted}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{dotted}]"),
        format!("[2002:{high:x}:{low:x}::]"),
        format!("[2002:{high:x}:{low:x}::1]"),
    ]
}

const INSIDE: [Ipv4Addr; 9] = [
    Ipv4Addr::new(127, 0, 0, 1),
    Ipv4Addr::new(127, 9, 8, 7),
    Ipv4Addr::new(10, 1, 2, 3),
    Ipv4Addr::new(172, 16, 5, 4),
    Ipv4Addr::new(192, 168, 1, 1),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 1, 9),
    Ipv4Addr::new(100, 64, 0, 1),
    Ipv4Addr::new(0, 0, 0, 0),
];

/// Shown: no spelling of an address inside, and no other scheme, is called: directly, by redirect after none to three
/// harmless ones, or by a name that leads there; nor does a credential leave the first host. How: spellings are made of
/// nine addresses (decimal, hexadecimal, octal, short, percent-encoded, full-width, with a user, mapped, NAT64, 6to4),
/// with http and https; the resolver and the transport count. Figures: over 600 spellings x 4 depths x 2 policies (as
/// delivered; http allowed): calls to another origin 0, addresses handed to the client 0.
#[test]
fn f23_no_spelling_leads_inside() {
    let mut urls: Vec<String> = Vec::new();
    for scheme in ["http", "https"] {
        urls.extend(INSIDE.into_iter().flat_map(spellings).map(|host| format!("{scheme}://{host}/latest/meta-data/")));
        for host in [
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "metadata.google.internal",
            "METADATA",
            "localhost",
            "localhost.",
            "ip6-localhost",
            "x.inside.example",
        ] {
            urls.push(format!("{scheme}://{host}/"));
        }
    }
    for odd in [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "gopher://127.0.0.1:25/_x",
        "ftp://10.0.0.1/",
        "ldap://127.0.0.1/",
        "dict://127.0.0.1:11211/stat",
        "data:text/plain,192.0.2.1",
        "jar:http://127.0.0.1!/",
        "javascript:1",
        "unix:/run/x",
        "http:127.0.0.1",
        "//127.0.0.1/x",
        "\\\\127.0.0.1\\x",
    ] {
        urls.push(odd.into());
    }
    assert!(urls.len() > 600, "{}", urls.len());
    let handed = Arc::new(AtomicUsize::new(0));
    let token = Secret::new("canary");
    for allow_http in [false, true] {
        let egress = Egress { allow_http, ..Egress::default() };
        // A name leads where its owner wants: here always inside.
        let lookup: Lookup = Arc::new(|_, port| Ok(vec![SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port)]));
        let direct = with_lookup(HttpConfig { egress: egress.clone(), ..config() }, lookup);
        for url in &urls {
            let result = direct.get(url).bearer(&token).send().map(|_| String::new());
            let why = denied(result);
            assert!(!why.contains("canary"), "{url}: {why}");
        }
        for url in &urls {
            for depth in 0..4 {
                let left = AtomicUsize::new(depth);
                let (count, target) = (Arc::clone(&handed), url.clone());
                let http = Http::answering(config(), Arc::new(NoWait), move |sent| {
                    if !sent.url().starts_with("https://start.example/") {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    let harmless =
                        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
                    Answer::new(302, "").header_pair("Location", if harmless { "/next" } else { &target })
                });
                let result = http.get("https://start.example/list").bearer(&token).send().map(|_| String::new());
                // Some are no addresses for the parser and become paths of the same origin: they go round.
                let why = unexpected(result);
                assert!(why.contains("redirects") && !why.contains("canary"), "{url}: {why}");
                assert!(http.calls() <= 4, "{url}: {}", http.calls());
            }
        }
    }
    assert_eq!(handed.load(Ordering::Relaxed), 0);
}

/// Shown: a name that changes its address between two calls (DNS rebinding) is judged anew at each connection, and the
/// connection is made to what was judged. How: a resolver whose answers alternate between an allowed address and a
/// forbidden one, with a listener behind each. Figures: 50 calls: 25 served, 25 refused, connections to the forbidden
/// listener 0, look-ups 50.
#[test]
fn f23_a_name_is_judged_at_every_connection() {
    let server = Server::new((0..25).map(|_| ok("fine")).collect());
    let port = server.address.port();
    let forbidden = TcpListener::bind(("127.0.0.2", port)).unwrap();
    forbidden.set_nonblocking(true).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_, port| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        Ok(vec![SocketAddr::new(IpAddr::from([127, 0, 0, if n.is_multiple_of(2) { 1 } else { 2 }]), port)])
    });
    let egress = Egress { allow_private: vec!["127.0.0.1/32".parse().unwrap()], allow_http: true, ports: Vec::new() };
    let http = with_lookup(HttpConfig { egress, ..config() }, lookup);
    let url = format!("http://rebind.example:{port}/");
    for n in 0..50 {
        match n % 2 {
            0 => assert_eq!(get(&http, &url).unwrap(), "fine"),
            _ => assert!(denied(get(&http, &url)).contains("loopback")),
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 50);
    assert_eq!(forbidden.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
