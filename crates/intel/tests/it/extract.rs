//! Extraction: what prose yields, what it does not, and that hostile prose costs no more than its length.

use intel::extract::{extract, extract_all};
use proptest::prelude::*;

fn all(text: &str) -> Vec<String> {
    extract_all(text)
        .into_iter()
        .map(|found| {
            assert_eq!(&text[found.at..found.at + found.raw.len()], found.raw);
            let port = found.parsed.port.map(|port| format!(" :{port}")).unwrap_or_default();
            format!("{} {}{port}", found.parsed.key.kind(), found.parsed.key.value())
        })
        .collect()
}

#[test]
fn prose_yields_indicators_and_nothing_else() {
    let md5 = "0123456789abcdef0123456789abcdef";
    let sha256 = md5.repeat(2);
    let cases: Vec<(String, Vec<String>)> = [
        ("", ""),
        ("It calls evil.com, then hxxp://bad[.]ru/x.", "domain evil.com|url http://bad.ru/x"),
        ("(see http://evil.com/a(b))", "url http://evil.com/a(b)"),
        ("(http://evil.com/a).", "url http://evil.com/a"),
        (
            "http://evil.com/a; http://evil.com/b, and 'http://evil.com/c'!",
            "url http://evil.com/a|url http://evil.com/b|url http://evil.com/c",
        ),
        ("[evil](http://evil.com/a) **http://evil.com/b**", "url http://evil.com/a|url http://evil.com/b"),
        ("[http://evil.com/a](http://evil.com/b)", "url http://evil.com/a|url http://evil.com/b"),
        ("<a href=\"http://evil.com/?a=1&amp;b=2\">click</a>", "url http://evil.com/?a=1&b=2"),
        ("http://evil.com/a&quot;x", "url http://evil.com/a"),
        ("http://a.com/x,http://b.com/y", "url http://a.com/x|url http://b.com/y"),
        ("http://a.com/?u=http://b.com/y", "url http://a.com/?u=http://b.com/y"),
        ("hxxp[:]//evil[.]com[:]8080/a hXXps[://]evil.com", "url http://evil.com:8080/a|url https://evil.com/"),
        ("h**p://evil.com/a", "url http://evil.com/a"),
        (
            "https://evil.com/a[the text] http://evil.com/b?x[0]=1 http://[2001:db8::1]/c",
            "url https://evil.com/a|url http://evil.com/b?x[0]=1|url http://[2001:db8::1]/c",
        ),
        ("['http://evil.com/a','http://evil.com/b']", "url http://evil.com/a|url http://evil.com/b"),
        (
            r#"{"a":"https:\/\/evil.com\/a\/b", "b":"http://evil.com/c\nevil.org\nbad[.]com"}"#,
            "url https://evil.com/a/b|url http://evil.com/c",
        ),
        (r"http:\\evil.com\new", "url http://evil.com/new"),
        ("cut http://evil.com/abc... and http://evil.com/x…", ""),
        ("a URL never gives its host: http://evil.com:99999/ http://*.evil.com/", ""),
        ("tcp://evil.com:80 ssh://1.2.3.4 file:///evil.com", ""),
        ("http://localhost:8080/ is ours", ""),
        ("evil[.]com/gate.php?id=1&x=2.", "url http://evil.com/gate.php?id=1&x=2"),
        ("evil.com/gate.php", "url http://evil.com/gate.php"),
        ("TCP/IP and/or read/write 24/7 n/a", ""),
        (
            "evil\\.com evil\\[.\\]org bad(.)net worse[dot]ru half[.com",
            "domain evil.com|domain evil.org|domain bad.net|domain worse.ru|domain half.com",
        ),
        (
            "evil.com:8080 and 1.2.3.4:443 and [2001:db8::1]:53",
            "domain evil.com :8080|ipv4 1.2.3.4 :443|ipv6 2001:db8::1",
        ),
        ("evil[.]com[:]443", "domain evil.com :443"),
        ("1.2.3.4, 1[.]2[.]3[.]5; (1.2.3.6) 10.0.0.0/8.", "ipv4 1.2.3.4|ipv4 1.2.3.5|ipv4 1.2.3.6|ipv4_net 10.0.0.0/8"),
        ("1.2.3.4/5.6.7.8 0.0.0.0/0 1.2.3 1.2.3.256 010.0.0.1", ""),
        ("1.2.3.4/a.php", "url http://1.2.3.4/a.php"),
        ("at 12:34:56 on 2024-01-02T12:34:56Z std::io ad::be a::b", ""),
        ("2001:db8::1 and fe80::1, 2001[:]db8::2", "ipv6 2001:db8::1|ipv6 fe80::1|ipv6 2001:db8::2"),
        (
            "bad@evil.com, worse[at]evil[.]com <x@evil.com> mailto:y@evil.com @handle user@host",
            "email bad@evil.com|email worse@evil.com|email x@evil.com|email y@evil.com",
        ),
        ("report.pdf evil.exe index.php a.dll x.docx v1.2.3 e.g. i.e. U.S. Node.js", ""),
        ("install.sh readme.md main.rs setup.py lib.so a.zip Evil.app run.pl", ""),
        (
            "install[.]sh http://main.rs/ x.web.app a[.]zip",
            "domain install.sh|url http://main.rs/|domain x.web.app|domain a.zip",
        ),
        ("System.IO the end.In short ASP.Net EVIL.COM Evil.com", "domain evil.com|domain evil.com"),
        ("/usr/lib/evil.com C:\\dir\\evil.com %TEMP%\\a.com $evil.com", ""),
        ("self_test.id x_y.evil.com", "domain x_y.evil.com"),
        (
            "C2: evil.com, C2:evil.org domain:sub.evil.net:443",
            "domain evil.com|domain evil.org|domain sub.evil.net :443",
        ),
        ("a, b. c! AS1234 *.evil.com", "domain evil.com"),
        (
            "“evil.com” ‘evil.org’ «evil.net» `evil.ru` evil.us|evil.de",
            "domain evil.com|domain evil.org|domain evil.net|domain evil.ru|domain evil.us|domain evil.de",
        ),
        ("пример.рф bücher.de。", "domain xn--e1afmkfd.xn--p1ai|domain xn--bcher-kva.de"),
    ]
    .into_iter()
    .map(|(text, found)| (text.to_owned(), found.split('|').filter(|f| !f.is_empty()).map(str::to_owned).collect()))
    .chain([
        (format!("MD5 {md5}, SHA256={sha256}."), vec![format!("md5 {md5}"), format!("sha256 {sha256}")]),
        (
            format!("sha256:{} samples/{md5} x{md5}", sha256.to_uppercase()),
            vec![format!("sha256 {sha256}"), format!("md5 {md5}")],
        ),
        ("d41d8cd98f00b204e9800998ecf8427e".to_owned(), vec![]),
    ])
    .collect();
    let wrong: Vec<String> = cases
        .iter()
        .map(|(text, expected)| (text, expected, all(text)))
        .filter(|(_, expected, got)| *expected != got)
        .map(|(text, expected, got)| format!("{text:?}\n  expected {expected:?}\n  got      {got:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Quadratic work on a megabyte takes hours; a linear reader is done before anybody looks.
#[test]
fn hostile_text_costs_its_length() {
    const SIZE: usize = 1 << 20;
    for unit in [
        ".",
        "a",
        ":",
        "[",
        "]",
        "(",
        "@",
        "/",
        "\\",
        "[.]",
        "a.",
        "a:",
        "::",
        "http://",
        "http://a",
        "http://,",
        "hxxp[:]//",
        "a/",
        "((",
        "h**p:",
        "é",
        "[dot]",
        "a@",
        "1.",
        "%",
        "&quot;",
        "](",
        "a:b.",
        "…",
        "\u{200b}",
        "{",
        "xn--.",
        "http:",
    ] {
        extract(&unit.repeat(SIZE / unit.len()), |_| {});
        // The same as words of the longest kind still read.
        let word = unit.repeat(8000 / unit.len());
        extract(&format!("{word} ").repeat(SIZE / 8000), |_| {});
    }
}

proptest! {
    #[test]
    fn never_panics(text in any::<String>()) {
        all(&text);
    }

    #[test]
    fn never_panics_on_what_it_looks_for(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "http://", "hxxp[:]//", "[", "]", "(", ")", ".", "[.]", "evil", "com", "é", "…", ":", "::", "/", "\\", "@", " ", "1.2.3.4", "。", "“",
            "&amp;", "&quot;", "*", "-", "_", "\"", ",", "h**p", "md", "?", "=", "\u{fffd}", "\u{200b}",
        ]), 0..24)
    ) {
        all(&pieces.concat());
    }
}
