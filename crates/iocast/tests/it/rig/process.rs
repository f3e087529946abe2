//! A serving process in trouble: told to stop, out of descriptors, its store locked.

use super::server::Fault;
use super::{Dice, check, filled, number};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Stops under load, unless the environment says more.
const STOPS: u64 = 6;

/// A server and where it listens.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(mut command: Command) -> Serving {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        // What it says later is read to its end, so that it never waits for us.
        std::thread::spawn(move || lines.count());
        Serving { child, address }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// How long until it ends, and with which code; None: it does not within that time.
    fn end(mut self, within: Duration) -> Option<(Duration, Option<i32>)> {
        let begin = Instant::now();
        let (_keep, never) = channel::<()>();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some((begin.elapsed(), status.code()));
            }
            if begin.elapsed() > within {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            let _ = never.recv_timeout(Duration::from_millis(20));
        }
    }
}

/// Asks on an open connection; the status.
fn ask(stream: &mut TcpStream, path: &str) -> Option<u16> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&bytes).split(' ').nth(1)?.parse().ok()
}

/// A server with pulls and passes going on, to tools that hang and answer late, is told to stop at a random moment. It
/// ends with 0 within ten seconds, the checker finds nothing lost and nothing twice, and the next passes end the work.
/// Figures: 6 seeded moments (IOCAST_CASES for more).
#[test]
fn f04_told_to_stop_it_ends_in_order_with_work_in_flight() {
    let mut exchange = filled("f04");
    let base = number("IOCAST_SEED_BASE", 0);
    let mut busy = 0;
    for seed in base..base + number("IOCAST_CASES", STOPS) {
        let mut dice = Dice(seed);
        exchange.advance();
        exchange.at = format!("f04 IOCAST_SEED_BASE={seed}");
        exchange.ok(&["pull", "--all"]);
        let calls = exchange.mock.lock().n_calls;
        let slow = (0..6).map(|_| Fault::Late(200));
        exchange.mock.lock().faults.extend(slow.chain([Fault::Hang]));
        let serving = Serving::start(exchange.command(&["serve", "--listen", "127.0.0.1:0"]));
        let (_keep, never) = channel::<()>();
        let _ = never.recv_timeout(Duration::from_millis(dice.below(1_500)));
        let told = Command::new("kill").args(["-TERM", &serving.pid()]).status().unwrap();
        assert!(told.success());
        let (took, code) = serving.end(Duration::from_secs(15)).unwrap_or_else(|| panic!("{}: no end", exchange.at));
        assert!(code == Some(0) && took < Duration::from_secs(10), "{}: {code:?} after {took:?}", exchange.at);
        let mut state = exchange.mock.lock();
        busy += u64::from(state.n_calls > calls);
        state.faults.clear();
        drop(state);
        check::always(&exchange);
    }
    exchange.settle();
    check::settled(&exchange);
    assert!(busy > 1, "{busy} stops found work in flight");
}

/// A server that may open forty files is given connections until it has none left. Those it has go on being answered,
/// health among them; it does not end and nothing in its store is harmed; when the connections are gone it takes new ones
/// again by itself within thirty seconds.
/// Figures: `ulimit -n 40`, 120 connections.
#[test]
fn f08_out_of_descriptors_it_goes_on_and_recovers_alone() {
    let exchange = filled("f08");
    let command = exchange.command(&[]);
    let binary = env!("CARGO_BIN_EXE_iocast");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit -n 40; exec {binary} serve --listen 127.0.0.1:0")]).env_clear();
    shell.current_dir(exchange.path()).stdin(Stdio::null());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    let serving = Serving::start(shell);
    let mut early = TcpStream::connect(&serving.address).unwrap();
    assert_eq!(ask(&mut early, "/healthz"), Some(200));
    let crowd: Vec<TcpStream> = (0..120).filter_map(|_| TcpStream::connect(&serving.address).ok()).collect();
    assert!(crowd.len() > 60, "they wait in the system's queue");
    for _ in 0..5 {
        assert_eq!(ask(&mut early, "/healthz"), Some(200), "health is answered meanwhile");
    }
    // A newcomer waits, and is not answered: that is what being out of descriptors looks like.
    let mut late = TcpStream::connect(&serving.address).unwrap();
    late.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = write!(late, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(late.read(&mut [0; 64]).is_err(), "it still had descriptors: the test does not test");
    drop((crowd, late));
    let begin = Instant::now();
    let recovered = loop {
        let answered = TcpStream::connect(&serving.address).ok().and_then(|mut stream| ask(&mut stream, "/healthz"));
        if answered == Some(200) || begin.elapsed() > Duration::from_secs(30) {
            break answered;
        }
    };
    assert_eq!(recovered, Some(200), "not again within 30 s");
    let told = Command::new("kill").args(["-TERM", &serving.pid()]).status().unwrap();
    assert!(told.success());
    assert_eq!(serving.end(Duration::from_secs(15)).and_then(|(_, code)| code), Some(0));
    check::always(&exchange);
    exchange.settle();
    check::settled(&exchange);
}
