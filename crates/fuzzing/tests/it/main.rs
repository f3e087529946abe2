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
        Ok(tried) => assert!(tried.seeds > 0, "{name} starts from nothing"),
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
    key: 12_000,
    url: 12_000,
    domain: 12_000,
    address: 18_000,
    hash_or_mail: 12_000,
    extract: 6_000,
    times: 30_000,
    rule: 3_000,
    exceptions: 6_000,
    guard: 4_500,
    warning_list: 900,
    guard_pattern: 900,
    stix_pattern: 9_000,
    stix_object: 6_000,
    stix: 2_400,
    stix1: 900,
    openioc: 1_200,
    misp: 2_400,
    feed_text: 3_000,
    feed_csv: 3_000,
    feed_json: 4_500,
    feed_settings: 6_000,
    manifest: 1_500,
    unpack: 1_200,
    taxii: 300,
    taxii1: 300,
    misp_feed: 300,
    config: 450,
    secrets: 200,
    cursors: 180,
    api_search: 180,
    api_push: 300,
    api_extract: 600,
}

#[test]
fn no_target_is_left_out() {
    let all: Vec<&str> = fuzzing::ALL.iter().map(|target| target.name).collect();
    assert_eq!(all, TESTED);
}
