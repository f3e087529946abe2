//! TLS of the server: a certificate from files, or one of its own that nobody vouches for.
//!
//! rustls with ring; TLS 1.2 and 1.3. A generated certificate lies in the data directory, its key readable by this user
//! alone, and is made anew when it is about to end; it is never in a backup.

use anyhow::{Context as _, anyhow, bail};
use intel::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How a server proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// With the certificates and the key of these files, PEM.
    Files {
        /// The certificate and those that vouch for it, the server's first.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// With one of its own, for these names and addresses and those of this machine.
    SelfSigned {
        /// What people call the server.
        names: Vec<String>,
    },
}

/// How long a generated certificate is good.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
/// How long before its end it is made anew, at a start.
const RENEW: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a server speaks, and the SHA-256 of its certificate where nobody vouches for it.
pub(crate) fn server(
    tls: &Tls,
    data: Option<&Path>,
    now: Timestamp,
) -> anyhow::Result<(Arc<ServerConfig>, Option<String>)> {
    match tls {
        Tls::Files { cert, key } => Ok((files(cert, key)?, None)),
        Tls::SelfSigned { names } => {
            let dir = data.context("a certificate of its own needs a data directory")?.join("tls");
            let (cert, key) = own(&dir, names, now)?;
            let config = files(&cert, &key)?;
            let first = CertificateDer::pem_file_iter(&cert)?.next().context("the certificate is empty")??;
            let print: Vec<String> = Sha256::digest(&first).iter().map(|byte| format!("{byte:02X}")).collect();
            Ok((config, Some(print.join(":"))))
        }
    }
}

fn files(cert: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| anyhow!("the certificate {} cannot be read: {error}", cert.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate: give the server's, and those that vouch for it, as PEM", cert.display());
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        anyhow!("the key {} cannot be read: {error}; it must be PEM, without a password", key.display())
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| anyhow!("{} and {} do not go together: {error}", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// When the first certificate of a file ends. None: there is none, or it cannot be read; then the start says so.
pub(crate) fn end_of(file: &Path) -> Option<Timestamp> {
    not_after(CertificateDer::pem_file_iter(file).ok()?.next()?.ok()?.as_ref())
}

/// The end of a certificate's validity (RFC 5280 §4.1.2.5): the second time in the fourth part, or the fifth where the
/// first is the version. rustls judges certificates and does not say.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    /// Tag and content of the next element, and what follows it.
    fn next(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
        let (tag, first, rest) = (*der.first()?, usize::from(*der.get(1)?), der.get(2..)?);
        let (length, rest) = match first {
            0..=0x7f => (first, rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(first - 0x80)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((tag, content, rest))
    }
    let (_, certificate, _) = next(der)?;
    let (_, mut parts, _) = next(certificate)?;
    // The version is there or not; then serial number, algorithm, issuer, validity.
    if let (0xa0, _, rest) = next(parts)? {
        parts = rest;
    }
    for _ in 0..3 {
        parts = next(parts)?.2;
    }
    let (_, validity, _) = next(parts)?;
    let (tag, text, _) = next(next(validity)?.2)?;
    let text = std::str::from_utf8(text).ok()?;
    // UTCTime has two digits of the year: from 50 on they are of the last century.
    let text = match tag {
        0x17 if text.get(..2)? >= "50" => format!("19{text}"),
        0x17 => format!("20{text}"),
        _ => text.to_owned(),
    };
    let part = |range: std::ops::Range<usize>| text.get(range);
    Timestamp::parse(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    ))
}

/// What a generated certificate says of itself, in the file before it: until when it is good and for which names.
fn head(until: Timestamp, names: &[String]) -> String {
    format!("# Made by iocast. Nobody vouches for it. Good until {until} for {}\n", names.join(" "))
}

fn own(dir: &Path, names: &[String], now: Timestamp) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (cert, key) = (dir.join("self-signed.pem"), dir.join("self-signed.key"));
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    all.extend(names.iter().filter(|name| !name.is_empty()).cloned());
    let stands = fs::read_to_string(&cert).unwrap_or_default();
    let first = stands.lines().next().unwrap_or_default();
    let is_good = first.split_once("Good until ").and_then(|(_, rest)| rest.split_once(" for ")).is_some_and(
        |(until, for_names)| {
            for_names == all.join(" ") && Timestamp::parse(until).is_some_and(|until| until > now.after(RENEW))
        },
    );
    if is_good && key.exists() {
        return Ok((cert, key));
    }
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let until = now.after(LIFE);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = rcgen::CertificateParams::new(all.clone())
        .map_err(|error| anyhow!("--tls-self-signed: {} are no names of a server: {error}", names.join(", ")))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "iocast");
    let date = |at: Timestamp| {
        let text = at.to_string();
        let part =
            |range: std::ops::Range<usize>| text.get(range).and_then(|text| text.parse::<u16>().ok()).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(part(0..4)), part(5..7) as u8, part(8..10) as u8)
    };
    // By the day, and from the day before: clocks differ.
    params.not_before = date(Timestamp::from_micros(now.micros().saturating_sub(86_400_000_000)));
    params.not_after = date(until);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let made = params.self_signed(&pair)?;
    // The key first: a certificate is good only with it.
    write_private(&key, &pair.serialize_pem())?;
    write_private(&cert, &format!("{}{}", head(until, &all), made.pem()))?;
    Ok((cert, key))
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("new");
    let _ = fs::remove_file(&part);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_its_own_is_kept_until_it_is_about_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let names = vec!["iocast.example".to_owned(), "192.0.2.7".to_owned()];
        let tls = Tls::SelfSigned { names: names.clone() };
        let now = Timestamp::from_secs(1_800_000_000);
        let print = |tls: &Tls, now| server(tls, Some(dir.path()), now).unwrap().1.unwrap();
        let first = print(&tls, now);
        assert_eq!(first.len(), 95);
        let days = |n: u64| now.after(Duration::from_secs(n * 86_400));
        assert_eq!(print(&tls, days(360)), first);
        let second = print(&tls, days(368));
        assert_ne!(second, first, "made anew a month before its end");
        assert_ne!(print(&Tls::SelfSigned { names: vec![] }, days(368)), second, "other names");
        let end = end_of(&dir.path().join("tls/self-signed.pem")).unwrap();
        assert_eq!(end.to_string().get(..10), days(368).after(LIFE).to_string().get(..10), "to the day");
        assert_eq!(end_of(&dir.path().join("tls/self-signed.key")), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join("tls/self-signed.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn files_that_do_not_serve_are_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let own = |name: &str| own(&dir.path().join(name), &[], now).unwrap();
        let ((cert, key), (_, other)) = (own("a"), own("b"));
        let why = |cert: &Path, key: &Path| {
            let tls = Tls::Files { cert: cert.to_owned(), key: key.to_owned() };
            server(&tls, None, now).map(drop).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(why(&cert, &key), Ok(()));
        assert!(why(&cert, &other).unwrap_err().contains("do not go together"));
        assert!(why(&key, &key).unwrap_err().contains("holds no certificate"));
        assert!(why(&dir.path().join("no"), &key).unwrap_err().contains("cannot be read"));
        assert!(why(&cert, &cert).unwrap_err().contains("the key"));
        assert!(server(&Tls::SelfSigned { names: vec!["\u{e9}".into()] }, Some(dir.path()), now).is_err());
    }
}
