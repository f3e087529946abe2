//! What the guard costs: a look-up among two million guarded values, and the shipped lists at start.

use crate::generate::mix;
use crate::measure::{Sheet, Took, against, mb, ms, rss, thread_cpu_ms, timed};
use crate::world::Fault;
use engine::guards::SHIPPED;
use intel::guard::{Guard, GuardClass, GuardList};
use intel::{IndicatorKey, IndicatorKind};
use std::collections::HashSet;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// Values asked about, of each sort.
const ASKED: u32 = 100_000;
/// The most a look-up may take, in microseconds.
const MOST_US: f64 = 5.0;

fn key(kind: IndicatorKind, value: String) -> IndicatorKey {
    IndicatorKey::from_stored(kind, value)
}

/// A guarded name: of two to four labels, as lists of much used names have them.
fn name(n: u32) -> String {
    let (a, b) = (mix(u64::from(n), 21), mix(u64::from(n), 22));
    let tld = ["com", "net", "org", "de", "co.uk", "io"][(b % 6) as usize];
    match a % 4 {
        0 => format!("cdn{}.{n:x}-{:x}.{tld}", a >> 60, b >> 48),
        1 => format!("www.static.{n:x}{:x}.{tld}", b >> 52),
        _ => format!("{n:x}{:x}.{tld}", b >> 40),
    }
}

/// A guarded network: nested ones among them, no wider than /12.
fn net(n: u32) -> IndicatorKey {
    let dice = mix(u64::from(n), 23);
    if n.is_multiple_of(4) {
        let len = 32 + (dice >> 58) as u32;
        let low = (u128::from(0x2a00_0000_u32 + (dice as u32 & 0x00ff_ffff)) << 96 | u128::from(dice) << 32)
            & !(u128::MAX >> len);
        return key(IndicatorKind::Ipv6Net, format!("{}/{len}", Ipv6Addr::from(low)));
    }
    let len = [12, 16, 20, 22, 24, 24, 24, 25, 26, 27, 28, 28, 29, 30, 31, 29][(dice >> 60) as usize];
    let low = (0x1000_0000 + (dice as u32 & 0x3fff_ffff)) & !(u32::MAX >> len);
    key(IndicatorKind::Ipv4Net, format!("{}/{len}", Ipv4Addr::from(low)))
}

fn hash(n: u32) -> IndicatorKey {
    let (a, b) = (mix(u64::from(n), 24), mix(u64::from(n), 25));
    match n % 2 {
        0 => key(IndicatorKind::Md5, format!("{a:016x}{b:016x}")),
        _ => key(IndicatorKind::Sha256, format!("{a:016x}{b:016x}{:016x}{:016x}", mix(a, 5), mix(b, 6))),
    }
}

/// Two in five are names, one in three networks, the rest hashes; in four lists of three classes.
fn lists(n: u32) -> Vec<GuardList> {
    let (names, nets) = (n / 5 * 2, n / 3);
    let domain = |at: u32| key(IndicatorKind::Domain, name(at));
    vec![
        GuardList::new("names", GuardClass::Popular, (0..names / 2).map(domain).collect()),
        GuardList::new("more names", GuardClass::Lifeline, (names / 2..names).map(domain).collect()),
        GuardList::new("networks", GuardClass::Popular, (0..nets).map(net).collect()),
        GuardList::new("hashes", GuardClass::Warn, (0..n - names - nets).map(hash).collect()),
    ]
}

/// What is asked about, by sort, and whether the guard must know each.
fn questions(n: u32) -> Vec<(&'static str, Option<bool>, Vec<IndicatorKey>)> {
    let names = n / 5 * 2;
    let spread = move |at: u32, of: u32| (u64::from(at) * 7919 % u64::from(of)) as u32;
    let all = |one: &dyn Fn(u32) -> IndicatorKey| (0..ASKED).map(one).collect::<Vec<_>>();
    let host = |at: u32| name(spread(at, names));
    let other = |at: u32| format!("{:x}.{:x}.hosting{}.top", mix(u64::from(at), 31), at, at % 16);
    let address = |at: u32| Ipv4Addr::from(0x1000_0000 + (mix(u64::from(at), 32) as u32 & 0x3fff_ffff));
    vec![
        ("guarded names", Some(true), all(&|at| key(IndicatorKind::Domain, host(at)))),
        ("hosts three labels below them", Some(true), {
            all(&|at| key(IndicatorKind::Domain, format!("a.b.{at:x}.{}", host(at))))
        }),
        ("URLs on them", Some(true), {
            all(&|at| key(IndicatorKind::Url, format!("https://{}/content/{at:x}/index.php?id={at}", host(at))))
        }),
        ("other names", None, all(&|at| key(IndicatorKind::Domain, other(at)))),
        ("URLs elsewhere", None, all(&|at| key(IndicatorKind::Url, format!("http://{}/{at:x}/x.exe", other(at))))),
        ("IPv4 addresses, inside networks or not", None, {
            all(&|at| key(IndicatorKind::Ipv4, address(at).to_string()))
        }),
        ("IPv4 networks that may hold guarded ones", None, {
            all(&|at| key(IndicatorKind::Ipv4Net, format!("{}/22", Ipv4Addr::from(u32::from(address(at)) & !0x3ff))))
        }),
        ("IPv6 addresses", None, {
            all(&|at| {
                let low = u128::from(0x2a00_0000_u32 + (mix(u64::from(at), 33) as u32 & 0xff_ffff)) << 96;
                key(IndicatorKind::Ipv6, Ipv6Addr::from(low | u128::from(at)).to_string())
            })
        }),
        ("guarded hashes", Some(true), all(&|at| hash(spread(at, n / 5)))),
        ("other hashes", Some(false), all(&|at| hash(0x8000_0000 + at))),
    ]
}

pub(crate) fn run(n: u32, sheet: &mut Sheet) -> Result<(), Fault> {
    shipped(sheet);
    let n = n.saturating_mul(2);
    let lists = lists(n);
    let before = rss(None);
    let (guard, took) = timed(|| Guard::new(lists.clone()));
    let grown = rss(None).saturating_sub(before);
    let per = grown as f64 / f64::from(n);
    sheet.put(
        format!("making a guard of {} values", guard.len()),
        format!("{} ({} CPU)", ms(took.wall), ms(took.cpu)),
        "",
        None,
        format!("{}, {per:.0} bytes a value", mb(grown)),
    );
    // The least that can be asked of anything: is this very text among them?
    let texts: HashSet<&str> = lists.iter().flat_map(|list| list.keys.iter().map(IndicatorKey::value)).collect();
    let mut worst = Worst::default();
    for (what, expect, keys) in questions(n) {
        let mut best = Took { wall: f64::MAX, cpu: f64::MAX };
        let (mut known, mut probe) = (0, f64::MAX);
        for _ in 0..3 {
            let (begun, cpu) = (Instant::now(), thread_cpu_ms());
            known = keys.iter().filter(|key| black_box(guard.look_up(key)).is_some()).count();
            let took = Took { wall: begun.elapsed().as_secs_f64() * 1e3, cpu: thread_cpu_ms() - cpu };
            best = if took.cpu < best.cpu { took } else { best };
            let cpu = thread_cpu_ms();
            black_box(keys.iter().filter(|key| texts.contains(key.value())).count());
            probe = f64::min(probe, thread_cpu_ms() - cpu);
        }
        if let Some(expect) = expect
            && known != if expect { keys.len() } else { 0 }
        {
            return Err(format!("{what}: {known} of {} are known to the guard", keys.len()).into());
        }
        let us = |ms: f64| ms * 1e3 / f64::from(ASKED);
        let took = us(best.cpu);
        worst.add(what, took);
        sheet.put(
            format!("looking up {ASKED} {what}, {known} found"),
            format!("{took:.2} µs each ({:.2} by the clock)", us(best.wall)),
            format!("≤ {MOST_US} µs"),
            Some(took <= MOST_US),
            format!("{:.1} × one probe of a set of texts ({:.2} µs)", took / us(probe).max(1e-9), us(probe)),
        );
    }
    sheet.note(&format!("slowest: {} at {:.2} µs", worst.what, worst.us));
    Ok(())
}

#[derive(Default)]
struct Worst {
    what: &'static str,
    us: f64,
}

impl Worst {
    fn add(&mut self, what: &'static str, us: f64) {
        if us > self.us {
            *self = Worst { what, us };
        }
    }
}

/// What the lists in the binary cost a start.
fn shipped(sheet: &mut Sheet) {
    let before = rss(None);
    let (guard, first) = timed(|| Guard::new(SHIPPED.iter().map(|shipped| shipped.list(shipped.class()))));
    let grown = rss(None).saturating_sub(before);
    let mut best = first;
    for _ in 0..4 {
        let took = timed(|| black_box(Guard::new(SHIPPED.iter().map(|shipped| shipped.list(shipped.class()))))).1;
        best = if took.wall < best.wall { took } else { best };
    }
    // What cannot be saved: to look at each line once.
    let (lines, scan) = timed(|| SHIPPED.iter().map(|shipped| shipped.values().count()).sum::<usize>());
    sheet.put(
        format!("making the guard of the {lines} shipped values, as at every start"),
        format!("{} ({} CPU), {}", ms(best.wall), ms(best.cpu), mb(grown)),
        "≤ 250 ms",
        Some(best.wall <= 250.0),
        against("reading the lines", best, scan),
    );
    drop(guard);
}
