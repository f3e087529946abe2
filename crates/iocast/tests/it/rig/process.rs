//! A serving process in trouble: told to stop, out of descriptors, its store locked.

use super::exchange::{Exchange, STYLES};
use super::server::Fault;
use super::{Dice, check, filled, number};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Stops under load, unless the environment says more.
const STOPS: u64 = 6;

/// A server and where it listens.
struct Serving {
    child: Child,
    address: String,
    /// What it says after its address, when it has ended.
    said: JoinHandle<String>,
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
        let said = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
        let serving = Serving { child, address, said };
        // Everything known is loaded.
        while !TcpStream::connect(&serving.address).is_ok_and(|mut stream| health(&mut stream).contains("\"ok\"")) {}
        serving
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

/// What it says of its health, and then no more on this connection.
fn health(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let asked = write!(stream, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // Cut off, it says nothing.
    let _ = asked.and_then(|()| stream.read_to_string(&mut text));
    text
}

/// Waits so long.
fn wait(time: Duration) {
    let (_keep, never) = channel::<()>();
    let _ = never.recv_timeout(time);
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
    let serving = Serving::start(limited(&exchange, "ulimit -n 40"));
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

/// A server whose writes fail in the system below ends by itself, with code 1 and words that say what to do, so that
/// whoever watches over it starts it again. Started again, with a disk that works, it goes on and comes to what is wanted;
/// nothing is lost and nothing is twice.
/// Figures: a file may grow to 256 KiB (`ulimit -f`), writes beyond fail; ended within 60 s.
#[test]
fn f10_a_server_whose_disk_failed_ends_and_a_restart_goes_on() {
    let mut exchange = filled("f10");
    exchange.advance();
    let serving = Serving::start(limited(&exchange, "trap '' XFSZ; ulimit -f 512"));
    let begin = Instant::now();
    let mut serving = serving;
    while serving.child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it goes on with a disk that failed");
        // There is always something to write.
        exchange.advance();
        wait(Duration::from_millis(100));
    }
    assert_eq!(serving.child.wait().unwrap().code(), Some(1));
    let said = serving.said.join().unwrap();
    assert!(said.contains("is to be started again"), "{said}");
    check::always(&exchange);
    exchange.settle();
    check::settled(&exchange);
}

/// The command that serves, under limits of the shell.
fn limited(exchange: &Exchange, limits: &str) -> Command {
    let command = exchange.command(&[]);
    let binary = env!("CARGO_BIN_EXE_iocast");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limits}; exec {binary} serve --listen 127.0.0.1:0")]).env_clear();
    shell.current_dir(exchange.path()).stdin(Stdio::null());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    shell
}

/// `iocast freeze` beside a running server writes the file that freezes it, in the middle of a pass of many slow calls: two
/// seconds later no new call that changes anything begins. The file holds a server that is started again, too, though it
/// pulls meanwhile; `iocast thaw` lets everything go on, and it comes to what is wanted.
/// Figures: a pass of 60 batches and more at 150 ms each; nothing begins in 2 s after those 2 s, nor in 3 s after a start.
#[test]
fn b15_freeze_stops_a_pass_within_two_seconds_and_holds_at_start() {
    let exchange = Exchange::with("b15", &STYLES[1..2]);
    {
        let mut state = exchange.mock.lock();
        state.feed = (0..1_500u32).map(|n| format!("45.1.{}.{}", n >> 8, n & 255)).collect();
        state.feed_version += 1;
        state.faults.extend((0..200).map(|_| Fault::Late(150)));
    }
    exchange.ok(&["pull", "--all"]);
    let serve = || Serving::start(exchange.command(&["serve", "--listen", "127.0.0.1:0"]));
    let stop = |serving: Serving| {
        let told = Command::new("kill").args(["-TERM", &serving.pid()]).status().unwrap();
        assert!(told.success());
        assert_eq!(serving.end(Duration::from_secs(15)).and_then(|(_, code)| code), Some(0));
    };
    let writes = || exchange.mock.lock().n_writes;
    let serving = serve();
    let begin = Instant::now();
    while writes() < 5 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the pass does not begin");
        wait(Duration::from_millis(20));
    }
    let said = exchange.ok(&["freeze", "--note", "look at this first"]);
    assert!(said.contains("FREEZE"), "{said}");
    wait(Duration::from_secs(2));
    let frozen = writes();
    assert!(frozen < 40, "the pass was over before it was frozen");
    wait(Duration::from_secs(2));
    assert_eq!(writes(), frozen, "a call began two seconds after the freeze");
    stop(serving);
    check::always(&exchange);
    let calls = exchange.mock.lock().n_calls;
    let serving = serve();
    wait(Duration::from_secs(3));
    assert_eq!(writes(), frozen, "a server that was started frozen called");
    assert!(exchange.mock.lock().n_calls > calls, "it pulls meanwhile");
    stop(serving);
    exchange.ok(&["thaw"]);
    exchange.mock.lock().faults.clear();
    exchange.settle();
    check::settled(&exchange);
}
