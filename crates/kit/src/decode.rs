//! Unpacking of gzip, zip and zstd, with limits.
//!
//! Whoever sends a feed may send a bomb. Everything here is a stream that counts what goes in and what comes out: it
//! fails when the output passes a limit, or when it is more than so many times the input after the first MiB. At most
//! one layer is taken off, two when the settings say so. Nothing is ever written to a path from an archive.

use crate::error::ConnectorError;
use crate::http::read_error;
use flate2::Crc;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use ruzstd::decoding::FrameDecoder;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A byte stream on its way in. Limits and faults surface as [`io::Error`]s that [`read_error`] turns back into what to
/// do next.
pub type Body = Box<dyn Read + Send>;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// An archive: one file of it is read.
    Zip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Packing {
    /// Reads `plain` (or `none`), `gzip` (or `gz`), `zip`, `zstd` (or `zst`).
    pub fn from_name(name: &str) -> Option<Packing> {
        match name {
            "plain" | "none" => Some(Packing::Plain),
            "gzip" | "gz" => Some(Packing::Gzip),
            "zip" => Some(Packing::Zip),
            "zstd" | "zst" => Some(Packing::Zstd),
            _ => None,
        }
    }

    /// The name as it is written in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Packing::Plain => "plain",
            Packing::Gzip => "gzip",
            Packing::Zip => "zip",
            Packing::Zstd => "zstd",
        }
    }

    /// What the first bytes say.
    pub fn sniff(head: &[u8]) -> Packing {
        match head {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Packing::Zip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            _ => Packing::Plain,
        }
    }
}

/// What unpacking may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes before unpacking; default 512 MiB.
    pub max_input: u64,
    /// Bytes after unpacking; default 512 MiB.
    pub max_output: u64,
    /// Output bytes per input byte, judged once the output passes 1 MiB; default 100.
    pub max_ratio: u64,
    /// Entries an archive may list; default 1,000.
    pub max_entries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_input: 512 << 20, max_output: 512 << 20, max_ratio: 100, max_entries: 1_000 }
    }
}

/// What the settings say about the packing of a body.
#[derive(Debug, Clone, Default)]
pub struct Unpack {
    /// The layers, outermost first, at most two. None: one layer, recognised by its first bytes.
    pub layers: Option<Vec<Packing>>,
    /// Which file of an archive: a glob over the names in it (`*` also matches `/`). None: there must be exactly one.
    pub member: Option<String>,
    /// What it may cost.
    pub limits: Limits,
}

/// Output smaller than this is never a bomb.
const RATIO_FREE: u64 = 1 << 20;
/// A frame that asks for a larger window is refused: the window is held in memory.
const MAX_WINDOW: u64 = 32 << 20;

/// Takes the packing off. The result streams; zip, which has its directory at the end, goes through a nameless
/// temporary file bounded by `limits.max_input`.
///
/// # Errors
/// [`ConnectorError::Unexpected`] when the bytes are not what was declared, or the archive has none or several files
/// that match. What is wrong further in surfaces while reading.
pub fn unpack(body: Body, how: &Unpack) -> Result<Body, ConnectorError> {
    let declared: &[Option<Packing>] = match how.layers.as_deref() {
        None => &[None],
        Some([]) => &[Some(Packing::Plain)],
        Some([one]) => &[Some(*one)],
        Some([one, two]) => &[Some(*one), Some(*two)],
        Some(_) => return Err(ConnectorError::Unexpected("at most two layers of packing can be taken off".into())),
    };
    let mut body = body;
    for layer in declared {
        body = take_off(body, *layer, how)?;
    }
    Ok(body)
}

fn take_off(mut body: Body, declared: Option<Packing>, how: &Unpack) -> Result<Body, ConnectorError> {
    let packing = match declared {
        Some(packing) => packing,
        None => {
            let mut head = Vec::with_capacity(4);
            (&mut body).take(4).read_to_end(&mut head).map_err(|error| read_error(&error))?;
            let found = Packing::sniff(&head);
            body = Box::new(io::Cursor::new(head).chain(body));
            found
        }
    };
    let limits = how.limits;
    let consumed = Arc::new(AtomicU64::new(0));
    let body = Bounded { inner: body, seen: 0, limit: limits.max_input, ratio: None };
    let input = BufReader::with_capacity(64 << 10, Counted { inner: body, count: Arc::clone(&consumed) });
    let output: Body = match packing {
        Packing::Plain => {
            return Ok(Box::new(Bounded { inner: input, seen: 0, limit: limits.max_output, ratio: None }));
        }
        Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
        Packing::Zstd => Box::new(Zstd { input, frame: FrameDecoder::new(), within: false }),
        Packing::Zip => return zip_member(input, how),
    };
    let ratio = Some((consumed, limits.max_ratio));
    Ok(Box::new(Bounded { inner: Named { inner: output, packing }, seen: 0, limit: limits.max_output, ratio }))
}

/// Opens gzip for the HTTP room, which knows of it from a header: the same limits, one layer.
pub(crate) fn gunzip(body: Body, limits: Limits) -> Result<Body, ConnectorError> {
    take_off(body, Some(Packing::Gzip), &Unpack { limits, ..Unpack::default() })
}

/// Says which packing a fault of the decoder was in.
struct Named {
    inner: Body,
    packing: Packing,
}

impl Read for Named {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            // A fault that already says what to do (a limit, the network) is passed on as it is.
            if error.get_ref().is_some_and(|inner| inner.is::<ConnectorError>()) {
                return error;
            }
            let what = if error.kind() == io::ErrorKind::UnexpectedEof { "cut short" } else { "broken" };
            unexpected(format!("the {} data is {what}", self.packing.as_str()))
        })
    }
}

/// Counts what its reader takes.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Fails once more than `limit` bytes, or more than `ratio` times the input, came out.
pub(crate) struct Bounded<R> {
    inner: R,
    seen: u64,
    limit: u64,
    ratio: Option<(Arc<AtomicU64>, u64)>,
}

impl<R: Read> Bounded<R> {
    /// Lets `limit` bytes through and fails on the next.
    pub(crate) fn new(inner: R, limit: u64) -> Bounded<R> {
        Bounded { inner, seen: 0, limit, ratio: None }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.seen += n as u64;
        if self.seen > self.limit {
            return Err(unexpected(format!("larger than the limit of {}", bytes(self.limit))));
        }
        if let Some((consumed, ratio)) = &self.ratio
            && self.seen > RATIO_FREE
            && self.seen > consumed.load(Ordering::Relaxed).saturating_mul(*ratio)
        {
            return Err(unexpected(format!("unpacks to more than {ratio} times its size")));
        }
        Ok(n)
    }
}

fn bytes(n: u64) -> String {
    if n >= 1 << 20 { format!("{} MiB", n >> 20) } else { format!("{n} bytes") }
}

/// An [`io::Error`] that [`read_error`] reads back as [`ConnectorError::Unexpected`].
fn unexpected(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, ConnectorError::Unexpected(why))
}

/// Frame after frame; skippable frames are skipped.
struct Zstd<R> {
    input: BufReader<R>,
    frame: FrameDecoder,
    within: bool,
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBytes;
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within {
                let Some(header) = self.header()? else { return Ok(0) };
                self.frame.reset(header.chain(&mut self.input)).map_err(io::Error::other)?;
                self.within = true;
            }
            while self.frame.can_collect() < buffer.len() && !self.frame.is_finished() {
                let missing = buffer.len() - self.frame.can_collect();
                self.frame.decode_blocks(&mut self.input, UptoBytes(missing)).map_err(io::Error::other)?;
            }
            let n = self.frame.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            // An empty or finished frame: on to the next.
            if let (Some(told), Some(found)) =
                (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum())
                && told != found
            {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.within = false;
        }
    }
}

impl<R: Read> Zstd<R> {
    /// Reads the header of the next frame, skipping skippable ones. The decoder would keep any window a frame asks for
    /// in memory before giving a byte out, so the window is judged here. None at the end.
    fn header(&mut self) -> io::Result<Option<io::Cursor<Vec<u8>>>> {
        let mut header = Vec::with_capacity(18);
        loop {
            header.clear();
            (&mut self.input).take(5).read_to_end(&mut header)?;
            match header[..] {
                [] => return Ok(None),
                [0x50..=0x5f, 0x2a, 0x4d, 0x18, _] => {
                    (&mut self.input).take(3).read_to_end(&mut header)?;
                    let length = header.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
                    let length = u64::from(length.ok_or(io::ErrorKind::UnexpectedEof)?);
                    if io::copy(&mut (&mut self.input).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                [0x28, 0xb5, 0x2f, 0xfd, _] => break,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let descriptor = header[4];
        let single = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size = [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
        let rest = usize::from(!single) + dictionary + size;
        (&mut self.input).take(rest as u64).read_to_end(&mut header)?;
        if header.len() < 5 + rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let window = if single {
            let told = header[5 + dictionary..].iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
            told + if size == 2 { 256 } else { 0 }
        } else {
            let base = 1_u64 << (10 + (header[5] >> 3));
            base + base / 8 * u64::from(header[5] & 7)
        };
        if window > MAX_WINDOW {
            return Err(unexpected(format!("the zstd data asks for more than {} of memory", bytes(MAX_WINDOW))));
        }
        Ok(Some(io::Cursor::new(header)))
    }
}

/// Finds the one wanted file of an archive and streams it.
fn zip_member(mut input: impl Read, how: &Unpack) -> Result<Body, ConnectorError> {
    let broken = |why: &dyn std::fmt::Display| ConnectorError::Unexpected(format!("the zip archive is broken: {why}"));
    let mut spool = tempfile::tempfile().map_err(|error| disk(&error))?;
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = input.read(&mut chunk).map_err(|error| read_error(&error))?;
        if n == 0 {
            break;
        }
        spool.write_all(&chunk[..n]).map_err(|error| disk(&error))?;
    }
    let (mut entries_seen, mut found) = (0_usize, None);
    let mut archive = zip::ZipArchive::new(&mut spool).map_err(|error| broken(&error))?;
    if archive.len() > how.limits.max_entries {
        let (n, most) = (archive.len(), how.limits.max_entries);
        return Err(ConnectorError::Unexpected(format!("the zip archive lists {n} entries, more than {most}")));
    }
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|error| broken(&error))?;
        let entry = file.entry();
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if !entry.is_file() || how.member.as_deref().is_some_and(|pattern| !glob_matches(pattern, &name)) {
            continue;
        }
        entries_seen += 1;
        found = Some((
            entry.encrypted(),
            entry.compression(),
            entry.compressed_size(),
            entry.size(),
            entry.crc32(),
            file.data_start(),
        ));
    }
    drop(archive);
    let wanted = how.member.as_deref().unwrap_or("*");
    let (1, Some((encrypted, method, packed, size, crc, Some(start)))) = (entries_seen, found) else {
        return Err(ConnectorError::Unexpected(format!(
            "the zip archive has {entries_seen} files that match {wanted:?}, and one is needed: set `member`"
        )));
    };
    if encrypted {
        return Err(ConnectorError::Unexpected("the zip archive is encrypted".into()));
    }
    if size > how.limits.max_output {
        return Err(read_error(&unexpected(format!("larger than the limit of {}", bytes(how.limits.max_output)))));
    }
    spool.seek(SeekFrom::Start(start)).map_err(|error| disk(&error))?;
    let consumed = Arc::new(AtomicU64::new(0));
    let raw = BufReader::with_capacity(64 << 10, Counted { inner: spool.take(packed), count: Arc::clone(&consumed) });
    let inner: Body = match method {
        zip::CompressionMethod::Stored => Box::new(raw),
        zip::CompressionMethod::Deflated => Box::new(DeflateDecoder::new(raw)),
        other => return Err(ConnectorError::Unexpected(format!("the zip archive uses {other}, which is not read"))),
    };
    let checked = Checked { inner, crc: Crc::new(), told: (size, crc) };
    let named = Named { inner: Box::new(checked), packing: Packing::Zip };
    let ratio = Some((consumed, how.limits.max_ratio));
    Ok(Box::new(Bounded { inner: named, seen: 0, limit: how.limits.max_output, ratio }))
}

fn disk(error: &io::Error) -> ConnectorError {
    ConnectorError::Later { wait: None, why: format!("no room to unpack an archive: {error}") }
}

/// Compares length and checksum of an archive's file with its directory, at the end.
struct Checked {
    inner: Body,
    crc: Crc,
    told: (u64, u32),
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.crc.update(&buffer[..n]);
        if n == 0
            && !buffer.is_empty()
            && (u64::from(self.crc.amount()), self.crc.sum()) != (self.told.0 & 0xffff_ffff, self.told.1)
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(n)
    }
}

/// `*` any run of characters, `?` one, everything else itself. Linear in text times stars.
pub(crate) fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            // The last star takes one character more.
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use zip::write::SimpleFileOptions;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::best());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn zipped(files: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
        let mut out = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, data) in files {
            if name.ends_with('/') {
                out.add_directory(*name, SimpleFileOptions::default()).unwrap();
                continue;
            }
            out.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            out.write_all(data).unwrap();
        }
        out.finish().unwrap().into_inner()
    }

    fn run(data: Vec<u8>, how: &Unpack) -> Result<Vec<u8>, String> {
        let mut body = unpack(Box::new(io::Cursor::new(data)), how).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        body.read_to_end(&mut out).map_err(|error| read_error(&error).to_string())?;
        Ok(out)
    }

    fn layers(layers: &[Packing]) -> Unpack {
        Unpack { layers: Some(layers.to_vec()), ..Unpack::default() }
    }

    const STORED: zip::CompressionMethod = zip::CompressionMethod::Stored;
    const DEFLATED: zip::CompressionMethod = zip::CompressionMethod::Deflated;

    #[test]
    fn what_is_packed_comes_out() {
        let text: Vec<u8> = (0..50_000).flat_map(|n: u32| format!("192.0.2.{n}\n").into_bytes()).collect();
        let text = text.as_slice();
        for (what, data) in [
            ("plain", text.to_vec()),
            ("gzip", gzip(text)),
            ("gzip members", [gzip(&text[..1000]), gzip(&text[1000..])].concat()),
            ("zstd", zstd(text)),
            (
                "zstd frames",
                [zstd(&text[..1000]), b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zstd(&text[1000..])].concat(),
            ),
            ("zip", zipped(&[("list.txt", text)], DEFLATED)),
            ("zip stored", zipped(&[("a/", b""), ("a/list.txt", text)], STORED)),
        ] {
            assert_eq!(run(data, &Unpack::default()).as_deref(), Ok(text), "{what}");
        }
        assert_eq!(run(Vec::new(), &Unpack::default()), Ok(Vec::new()));
        assert_eq!(run(gzip(b""), &Unpack::default()), Ok(Vec::new()));
        assert_eq!(run(zstd(b""), &Unpack::default()), Ok(Vec::new()));
    }

    #[test]
    fn one_layer_unless_declared() {
        let twice = gzip(&gzip(b"x\n"));
        assert_eq!(run(twice.clone(), &Unpack::default()), Ok(gzip(b"x\n")));
        assert_eq!(run(twice, &layers(&[Packing::Gzip, Packing::Gzip])), Ok(b"x\n".to_vec()));
        let inside = gzip(&zipped(&[("a.csv", b"x\n")], DEFLATED));
        assert_eq!(run(inside, &layers(&[Packing::Gzip, Packing::Zip])), Ok(b"x\n".to_vec()));
        assert!(run(gzip(b"x"), &layers(&[Packing::Gzip; 3])).is_err());
        assert_eq!(run(gzip(b"x"), &layers(&[Packing::Plain])), Ok(gzip(b"x")));
    }

    #[test]
    fn what_is_not_as_declared_is_an_error() {
        for packing in [Packing::Gzip, Packing::Zip, Packing::Zstd] {
            for data in ["<html>sorry</html>", "x", ""] {
                let got = run(data.into(), &layers(&[packing]));
                let empty = data.is_empty() && packing == Packing::Zstd;
                assert!(
                    empty || got.as_ref().is_err_and(|why| why.contains(packing.as_str())),
                    "{packing:?} {data:?} {got:?}"
                );
            }
        }
    }

    #[test]
    fn data_cut_anywhere_is_an_error_and_never_a_shorter_list() {
        let mut noise = 7_u32;
        let mut step = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        };
        let text: Vec<u8> = (0..500).map(|_| step()).collect();
        for (what, data) in [("gzip", gzip(&text)), ("zstd", zstd(&text)), ("zip", zipped(&[("a", &text)], DEFLATED))] {
            for at in 5..data.len() {
                let got = run(data[..at].to_vec(), &Unpack::default());
                assert!(got.is_err(), "{what} cut at {at} of {} gives {} bytes", data.len(), got.unwrap().len());
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_a_checked_body_is_an_error() {
        let text = b"192.0.2.1\n".repeat(50);
        let data = zipped(&[("a", &text)], STORED);
        let at = data.windows(4).position(|four| four == b"192.").unwrap();
        let mut broken = data.clone();
        broken[at] ^= 1;
        assert_eq!(run(broken, &Unpack::default()), Err("unexpected answer: the zip data is broken".into()));
        let mut broken = gzip(&text);
        let at = broken.len() - 6;
        broken[at] ^= 1;
        assert_eq!(run(broken, &Unpack::default()), Err("unexpected answer: the gzip data is broken".into()));
    }

    /// The same bytes again and again, so many times: a bomb of any size that nobody has to hold.
    struct Again {
        piece: Vec<u8>,
        at: usize,
        left: usize,
    }

    impl Again {
        fn boxed(piece: Vec<u8>, times: usize) -> Body {
            Box::new(Again { piece, at: 0, left: times })
        }
    }

    impl Read for Again {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.at == self.piece.len() && self.left > 1 {
                (self.at, self.left) = (0, self.left - 1);
            }
            let n = buffer.len().min(self.piece.len() - self.at);
            buffer[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }

    /// A zstd frame of so many blocks that each say "this byte 128 Ki times" in four bytes.
    fn zstd_runs(blocks: u32) -> Vec<u8> {
        let mut frame = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
        for block in 1..=blocks {
            let header = (128 << 10) << 3 | 1 << 1 | u32::from(block == blocks);
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(b'0');
        }
        frame
    }

    /// Shown: no bomb goes off: what unpacks to more than 100 times its size is refused before 8 MiB came out (input is
    /// counted in pieces of 64 KiB), by our own reader; layers beyond the declared ones (one, or two) stay packed; encodings of HTTP that were not asked for are
    /// refused unread. How: gzip, zstd and zip of 2 MiB to 10 GiB, in one piece, in members and frames, nested, with lying
    /// sizes; the work is counted in bytes that came out, as time depends on the machine. Figures: 50 bombs and more;
    /// most that comes out 8 MiB, which is milliseconds of work; the largest is 10 GiB in 10 MiB.
    #[test]
    fn f30_no_bomb_goes_off() {
        let zeros = |mib: usize| vec![0_u8; mib << 20];
        let eight = gzip(&zeros(8));
        let mut bombs: Vec<(String, Body, Option<Vec<Packing>>)> = Vec::new();
        let mut add = |name: String, body: Body, layers: Option<Vec<Packing>>| bombs.push((name, body, layers));
        let whole = |data: Vec<u8>| -> Body { Box::new(io::Cursor::new(data)) };
        for mib in [2, 3, 4] {
            add(format!("gzip of {mib} MiB"), whole(gzip(&zeros(mib))), None);
            add(format!("zstd of {mib} MiB"), whole(zstd(&zeros(mib))), None);
            add(format!("zip of {mib} MiB"), whole(zipped(&[("a", &zeros(mib))], DEFLATED)), None);
        }
        for members in [2, 16, 128, 1_280] {
            add(format!("gzip, {members} members of 8 MiB"), Again::boxed(eight.clone(), members), None);
            add("the same, declared".into(), Again::boxed(eight.clone(), members), Some(vec![Packing::Gzip]));
        }
        for blocks in [17, 100, 1_000, 10_000, 80_000] {
            add(format!("zstd, {blocks} runs"), whole(zstd_runs(blocks)), None);
            add(
                format!("zstd, 100 frames of {blocks} runs"),
                Again::boxed(zstd_runs(blocks), 100),
                Some(vec![Packing::Zstd]),
            );
        }
        for (inner, name) in
            [(gzip(&eight), "gzip"), (zstd(&eight), "zstd"), (zipped(&[("a", &eight)], DEFLATED), "zip")]
        {
            let outer = Packing::from_name(name).unwrap();
            add(format!("gzip in {name}, declared"), whole(inner), Some(vec![outer, Packing::Gzip]));
        }
        // A bomb inside a bomb: the outer layer alone is one.
        let nested = gzip(&eight.repeat(2_000));
        for layers in [None, Some(vec![Packing::Gzip]), Some(vec![Packing::Gzip; 2])] {
            add("gzip of 16 MiB of gzip".into(), whole(nested.clone()), layers);
        }
        // Sizes that lie: the directory of the archive says less, or more, than there is.
        for lie in [0_u32, 100, 1 << 20, u32::MAX - 1] {
            let mut archive = zipped(&[("a", &zeros(4))], DEFLATED);
            let real = (4_u32 << 20).to_le_bytes();
            while let Some(at) = archive.windows(4).position(|four| four == real) {
                archive[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            }
            add(format!("zip that says {lie} bytes"), whole(archive), None);
        }
        for layers in 3..8 {
            add(format!("{layers} layers"), whole(eight.clone()), Some(vec![Packing::Gzip; layers]));
        }
        assert!(bombs.len() >= 41, "{}", bombs.len());
        for (name, body, layers) in bombs {
            let how = Unpack { layers, ..Unpack::default() };
            let (mut out, mut chunk) = (0, vec![0; 64 << 10]);
            let end = unpack(body, &how).and_then(|mut body| {
                loop {
                    match body.read(&mut chunk) {
                        Ok(0) => break Ok(()),
                        Ok(n) => out += n,
                        Err(error) => break Err(read_error(&error)),
                    }
                }
            });
            assert!(matches!(end, Err(ConnectorError::Unexpected(_))), "{name}: {end:?} after {out}");
            assert!(out <= 8 << 20, "{name}: {out} bytes came out");
        }
        // What HTTP says of encodings: one layer of gzip is asked for, and nothing else is read.
        for encoding in
            ["gzip, gzip", "gzip, gzip, gzip, gzip", "deflate", "br", "zstd", "compress", "gzip;q=1", "exi", "GZIP, br"]
        {
            let bomb = eight.clone();
            let http = crate::http::Http::answering(
                crate::http::HttpConfig::default(),
                Arc::new(crate::http::NoWait),
                move |_| crate::http::Answer::new(200, bomb.clone()).header_pair("Content-Encoding", encoding),
            );
            let error = http.get("https://a.example/").send().map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("did not ask for"), "{encoding}: {error}");
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let zeros = vec![0; 3 << 20];
        for (what, data) in
            [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros)), ("zip", zipped(&[("a", &zeros)], DEFLATED))]
        {
            let mut body = unpack(Box::new(io::Cursor::new(data)), &Unpack::default()).unwrap();
            let (mut out, mut chunk) = (0, vec![0; 64 << 10]);
            let error = loop {
                match body.read(&mut chunk) {
                    Ok(0) => panic!("{what} went off: {out}"),
                    Ok(n) => out += n,
                    Err(error) => break read_error(&error),
                }
            };
            assert!(out <= 2 << 20, "{what} gave {out}");
            assert_eq!(error, ConnectorError::Unexpected("unpacks to more than 100 times its size".into()), "{what}");
        }
        let limits = Limits { max_output: 1_000, ..Limits::default() };
        for data in
            [gzip(&zeros[..2_000]), zstd(&zeros[..2_000]), zipped(&[("a", &zeros[..2_000])], STORED), vec![b'x'; 2_000]]
        {
            let got = run(data, &Unpack { limits, ..Unpack::default() });
            assert_eq!(got, Err("unexpected answer: larger than the limit of 1000 bytes".into()));
        }
        let limits = Limits { max_input: 100, ..Limits::default() };
        assert!(run(vec![b'x'; 101], &Unpack { limits, ..Unpack::default() }).is_err());
        assert!(run(vec![b'x'; 100], &Unpack { limits, ..Unpack::default() }).is_ok());
        // A small text that packs well is no bomb.
        assert!(run(gzip(&zeros[..1 << 20]), &Unpack::default()).is_ok());
    }

    #[test]
    fn a_frame_cannot_ask_for_any_window() {
        // Not a single segment; window descriptor 0xf8 asks for 2 TiB.
        for header in
            [&b"\x28\xb5\x2f\xfd\x00\xf8"[..], b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\x01\0\0\0", b"\x28\xb5\x2f\xfd\x00\x79"]
        {
            let got = run([header, b"\x01\0\0"].concat(), &Unpack::default());
            assert_eq!(got, Err("unexpected answer: the zstd data asks for more than 32 MiB of memory".into()));
        }
    }

    #[test]
    fn one_file_of_an_archive() {
        let archive = || zipped(&[("readme.md", b"hello"), ("data/full.csv", b"x"), ("data/", b"")], DEFLATED);
        let member = |pattern: &str| Unpack { member: Some(pattern.into()), ..Unpack::default() };
        assert_eq!(run(archive(), &member("*.csv")), Ok(b"x".to_vec()));
        assert_eq!(run(archive(), &member("readme.??")), Ok(b"hello".to_vec()));
        for how in [Unpack::default(), member("*.txt"), member("*")] {
            assert!(run(archive(), &how).unwrap_err().contains("set `member`"));
        }
        let limits = Limits { max_entries: 2, ..Limits::default() };
        assert!(run(archive(), &Unpack { limits, ..member("*.csv") }).unwrap_err().contains("3 entries"));
        let names: Vec<String> = (0..3).map(|n| format!("../../{n}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        assert!(run(zipped(&files, STORED), &member("../../1")).is_ok(), "names are never used as paths");
    }

    #[test]
    fn globs() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**", "x/y", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("", "x", false),
            ("ä*", "äb", true),
        ] {
            assert_eq!(glob_matches(pattern, text), matches, "{pattern} {text}");
        }
        let slow = "*a".repeat(60) + "b";
        assert!(!glob_matches(&slow, &"a".repeat(5_000)));
    }
}
