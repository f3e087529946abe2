//! Bodies that come slowly, without end, or not whole.

use super::*;
use crate::decode::Limits;
use crate::http::live::Timed;

/// Shown: a server that is silent (before its headers, in them, in the body), that trickles, or that never ends is left.
/// How: real connections with small limits, and a body on a clock that runs while it is read. Figures: 5 servers.
#[test]
fn f19_silence_and_slowness_end() {
    let short = Duration::from_millis(40);
    let timeouts = Timeouts { first_byte: short, stall: short, ..Timeouts::default() };
    let server = Server::new(vec![
        Reply::Hang(Vec::new()),
        Reply::Hang(b"HTTP/1.1 200".to_vec()),
        Reply::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
    ]);
    let http = http(HttpConfig { timeouts, ..config() });
    for expect in ["no answer in time", "no answer in time", "the answer stopped coming"] {
        let (wait, why) = later(get(&http, &server.url("/")));
        assert!(wait.is_none() && why.ends_with(expect), "{why}");
    }
    // On a clock that runs while we read: too slow on average, and too long in all.
    for (step, rate, expect) in [(20, 1 << 40, "too slowly"), (3_600, 0, "too long")] {
        let server = Server::new(vec![Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())]);
        let clock = Clock { step: Duration::from_secs(step), ..Clock::default() };
        let timeouts = Timeouts { min_rate: rate, ..Timeouts::default() };
        let http = Http::live(HttpConfig { timeouts, ..config() }, Arc::new(clock)).unwrap();
        let (_, why) = later(get(&http, &server.url("/")));
        assert!(why.ends_with(expect), "{why}");
    }
}

/// Shown: a body, announced or not, and headers without end stop at their limit. How: a server that sends until we hang
/// up; the limit is 100,000 bytes here. Figures: 3 answers, at most twice the limit read.
#[test]
fn f20_a_body_without_end_is_stopped() {
    let limits = Limits { max_input: 100_000, max_output: 100_000, ..Limits::default() };
    let server = Server::new(vec![
        Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Reply::Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n".to_vec()),
        Reply::Endless(b"HTTP/1.1 200 OK\r\nX-Long: ".to_vec()),
    ]);
    let http = http(HttpConfig { limits, ..config() });
    let mut answer = http.get(&server.url("/")).send().unwrap();
    let mut bytes = Vec::new();
    let error = answer.body.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(read_error(&error), ConnectorError::Unexpected("larger than the limit of 100000 bytes".into()));
    assert!(bytes.len() <= 200_000);
    drop(answer);
    assert!(unexpected(get(&http, &server.url("/"))).contains("announces a body larger"));
    assert!(get(&http, &server.url("/")).is_err(), "headers have an end too");
}

/// Shown: a body that was cut is an error and never a shorter list. How: an answer with a length, and one in chunks, each
/// cut at every byte, over a real connection. Figures: about 1,200 positions; 0 bodies accepted.
#[test]
fn f21_a_body_cut_anywhere_is_an_error() {
    let body = "192.0.2.1\n".repeat(50);
    let plain = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nfa\r\n{}\r\nfa\r\n{}\r\n0\r\n\r\n",
        &body[..250],
        &body[250..]
    );
    for whole in [plain, chunked] {
        // The last line break of the chunked end is not waited for by everybody.
        let cuts: Vec<usize> = (0..whole.len() - 2).collect();
        let server = Server::new(cuts.iter().map(|at| Reply::Bytes(whole.as_bytes()[..*at].to_vec())).collect());
        let http = http(config());
        for at in cuts {
            let result = get(&http, &server.url("/"));
            assert!(result.is_err(), "cut at {at}: {result:?}");
        }
        let server = Server::new(vec![Reply::Bytes(whole.into())]);
        assert_eq!(get(&http, &server.url("/")).unwrap(), body);
    }
}

/// What reads so many bytes at a time and takes so long for it.
struct Slow {
    clock: Arc<Passing>,
    bytes: usize,
    takes: Duration,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        *self.clock.0.lock().unwrap() += self.takes;
        let n = self.bytes.min(buffer.len());
        buffer[..n].fill(b'x');
        Ok(n)
    }
}

/// A clock that others move.
#[derive(Default)]
struct Passing(Mutex<Duration>);

impl Wait for Passing {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, _: Duration) {}
}

/// Shown: the limits are 10 s to connect, 30 s to the headers, 1,024 bytes a second over each 30 s, 30 minutes a body;
/// the rate is enforced, and what ends does so within one read of its limit. How: bodies without end that come at
/// twelve rates, on a virtual clock, with the limits as they are in use. Figures: 12 rates; a body below the rate ends
/// after 30 s plus one read, one above it after 30 min plus one read; nothing else ends it.
#[test]
fn f19_the_least_rate_is_enforced() {
    let timeouts = Timeouts::default();
    let secs = |limit: Duration| limit.as_secs();
    let told = [timeouts.connect, timeouts.first_byte, timeouts.stall, timeouts.total].map(secs);
    assert_eq!((told, timeouts.min_rate), ([10, 30, 30, 1_800], 1_024));
    for (bytes, millis, says) in [
        (1, 1_000, "too slowly"),
        (1, 29_000, "too slowly"),
        (1, 10, "too slowly"),
        (100, 100, "too slowly"),
        (1_000, 1_000, "too slowly"),
        (1_023, 1_000, "too slowly"),
        (10_000, 15_000, "too slowly"),
        (1_024, 1_000, "too long"),
        (2_048, 1_000, "too long"),
        (60_000, 20_000, "too long"),
        (65_536, 1_000, "too long"),
        (1, 0, ""),
    ] {
        let clock = Arc::new(Passing::default());
        let slow = Slow { clock: Arc::clone(&clock), bytes, takes: Duration::from_millis(millis) };
        let mut body = Timed::new(slow, Arc::clone(&clock) as Arc<dyn Wait>, timeouts);
        let mut buffer = vec![0; 1 << 17];
        let error = (0..2_000_000).find_map(|_| body.read(&mut buffer).err());
        let Some(error) = error else {
            assert_eq!(says, "", "{bytes} in {millis} ms never ends");
            continue;
        };
        let why = read_error(&error).to_string();
        assert!(why.ends_with(says) && !says.is_empty(), "{bytes} in {millis} ms: {why}");
        let limit = if says == "too slowly" { timeouts.stall } else { timeouts.total };
        let ended = clock.monotonic();
        assert!(ended >= limit && ended <= limit + Duration::from_millis(millis), "{bytes} in {millis} ms: {ended:?}");
    }
}
