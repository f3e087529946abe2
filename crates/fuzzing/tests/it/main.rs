//! Every target over its seeds, its kept cases and seeded mutations of both.
//!
//! `IOCAST_FUZZ_RUNS` sets the mutations of a target (default: as many as CI has time for), `IOCAST_SEED` the first one.

use fuzzing::stable;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// `runs` is what fits into about a second of a debug build.
fn tried(name: &str, runs: u64) {
    let target = fuzzing::find(name).unwrap();
    let (seed, runs) = (number("IOCAST_SEED").unwrap_or(1), number("IOCAST_FUZZ_RUNS").unwrap_or(runs));
    // A panic that is caught still prints; only the last one, with the input, is worth reading.
    match stable::run(target, seed, runs) {
        Ok(tried) => println!("{name}: {tried:?}"),
        Err(broken) => panic!("{broken}"),
    }
}

/// One test a target, so that they run side by side and the name says what broke.
macro_rules! targets {
    ($($name:ident: $runs:expr,)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                tried(stringify!($name), $runs);
            }
        )*
    };
}

targets! {
    key: 4_000,
    url: 4_000,
    domain: 4_000,
    address: 6_000,
    hash_or_mail: 4_000,
    extract: 2_000,
    times: 10_000,
    rule: 1_000,
    exceptions: 2_000,
    guard: 1_500,
    stix_pattern: 3_000,
    stix_object: 2_000,
    stix: 800,
    stix1: 300,
    openioc: 400,
    misp: 800,
    feed_text: 1_000,
    feed_csv: 1_000,
    feed_json: 1_500,
    feed_settings: 2_000,
    manifest: 500,
    unpack: 400,
    taxii: 100,
    taxii1: 100,
    misp_feed: 100,
    config: 150,
    secrets: 300,
    cursors: 60,
    api_search: 60,
    api_push: 100,
    api_extract: 200,
}

#[test]
fn no_target_is_left_out() {
    let all: Vec<&str> = fuzzing::ALL.iter().map(|target| target.name).collect();
    assert_eq!(all, TESTED);
}
