//! Sealing secrets: what the store keeps of a secret can be opened only with a key that lies outside the data directory.
//!
//! A sealed secret is `sealed:KEY-ID:TEXT`, where the text is a random nonce and the secret under XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03), in base64 without padding. Key id and place (which document, which setting) are
//! authenticated with it, so that a sealed secret opens only where it was set. The key file holds one key a line, `ID
//! KEY`, the one in use first; older ones stay until they are forgotten, so that backups can be read. Nothing here is
//! logged but file names and key ids. In place of a file the keys may stand in an environment variable or be printed by a
//! command, such as that of a vault; then whoever runs those changes them, and nothing is written here. A key file is read when it is first needed: without one an exchange starts, and only
//! the connections whose secrets are sealed do not work.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use kit::Secret;
use kit::secret::SEALED;
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest key file read, in bytes: hundreds of keys.
const MAX_KEY_FILE_BYTES: u64 = 64 << 10;
/// Length of a key, in bytes.
const KEY_BYTES: usize = 32;
/// Length of a nonce, in bytes: long enough that random ones never meet.
const NONCE_BYTES: usize = 24;

const HEAD: &str = "\
# The key of an iocast exchange: it opens the secrets in its data directory and in the backups of it.
# Keep a copy, not together with the backups. The first key is in use; older ones open what was sealed before.
";

/// One key.
struct Key {
    /// The beginning of its hash, in hex.
    id: String,
    /// In base64.
    text: Secret,
}

impl Key {
    fn of(bytes: &[u8]) -> Key {
        let id = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Key { id, text: Secret::new(BASE64_STANDARD.encode(bytes)) }
    }

    fn generate() -> Result<Key, String> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| format!("the system gives no randomness: {error}"))?;
        Ok(Key::of(&bytes))
    }

    /// The seed of the key that signs the audit log: nothing of this key can be told from it.
    fn audit_seed(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
        let bytes = BASE64_STANDARD.decode(self.text.reveal()).map_err(|_| "the key is no base64".to_owned())?;
        let bytes = zeroize::Zeroizing::new(bytes);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes);
        let seed = ring::hmac::sign(&key, b"iocast audit signing key 1");
        Ok(zeroize::Zeroizing::new(seed.as_ref().to_vec()))
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, String> {
        let bytes = BASE64_STANDARD.decode(self.text.reveal()).map_err(|_| "the key is no base64".to_owned())?;
        XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| format!("a key has {KEY_BYTES} bytes"))
    }
}

/// Where keys are.
#[derive(Debug, Clone, Default)]
pub enum KeyPlace {
    /// Nobody said where, and the system has no place for configuration.
    #[default]
    Nowhere,
    /// In a file outside the data directory; it is made where there is none.
    File(PathBuf),
    /// In the environment variable `IOCAST_KEY`: its text.
    Given(Secret),
    /// A command prints them.
    Command(String),
}

/// How long a command that prints keys may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// The keys of one exchange, outside its data directory.
pub struct Keys {
    place: KeyPlace,
    data: PathBuf,
    /// Empty until they are needed.
    ring: Mutex<Vec<Key>>,
    notices: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is authenticated beside a secret.
fn bound_to(id: &str, place: &str) -> String {
    format!("iocast secret\0{id}\0{place}")
}

impl Keys {
    /// The keys in this file for the exchange in this data directory. Nothing is read or made yet.
    pub fn new(file: Option<PathBuf>, data: PathBuf) -> Keys {
        Keys::at(file.map_or(KeyPlace::Nowhere, KeyPlace::File), data)
    }

    /// The keys at this place. Nothing is read or made yet.
    pub fn at(place: KeyPlace, data: PathBuf) -> Keys {
        Keys { place, data, ring: Mutex::new(Vec::new()), notices: Mutex::new(Vec::new()) }
    }

    /// Makes the first key, where the keys are in a file and there is none yet.
    ///
    /// # Errors
    /// Why not and what to do.
    pub(crate) fn prepare(&self) -> Result<(), String> {
        let mut ring = self.ring()?;
        if ring.is_empty() && matches!(self.place, KeyPlace::File(_)) {
            self.make_first(&mut ring)?;
        }
        Ok(())
    }

    fn make_first(&self, ring: &mut Vec<Key>) -> Result<(), String> {
        let file = self.file()?;
        ring.push(Key::generate()?);
        if let Err(why) = place_new(file, &written(ring)) {
            ring.clear();
            return Err(format!("the key file {} cannot be made: {why}", file.display()));
        }
        locked(&self.notices).push(format!(
            "made the key file {}: without it the secrets in the data directory and in backups cannot be opened; keep a \
             copy elsewhere",
            file.display()
        ));
        Ok(())
    }

    /// Whether the key that this was sealed with is not here.
    pub(crate) fn lacks(&self, sealed: &str) -> bool {
        let Some((id, _)) = sealed.strip_prefix(SEALED).and_then(|rest| rest.split_once(':')) else { return false };
        self.ring().is_ok_and(|ring| ring.iter().all(|key| key.id != id)) || self.ring().is_err()
    }

    /// What signs the audit log: made of the key in use, so that it is kept and rotated with it. None: there is no key yet.
    ///
    /// # Errors
    /// Why the keys cannot be read.
    pub(crate) fn signer(&self) -> Result<Option<ring::signature::Ed25519KeyPair>, String> {
        let ring = self.ring()?;
        ring.first().map(|key| crate::audit::pair(&key.audit_seed()?)).transpose()
    }

    /// What verifies signatures of the audit log: one for each key there is.
    ///
    /// # Errors
    /// Why the keys cannot be read.
    pub(crate) fn auditors(&self) -> Result<Vec<[u8; 32]>, String> {
        let ring = self.ring()?;
        ring.iter().map(|key| Ok(crate::audit::public(&crate::audit::pair(&key.audit_seed()?)?))).collect()
    }

    /// Reads the keys again, where somebody else keeps them. Gives the id of the one in use.
    fn again(&self) -> Result<String, String> {
        let read = Keys::at(self.place.clone(), self.data.clone());
        let mut fresh = read.ring()?;
        let Some(first) = fresh.first() else { return Err(self.missing()) };
        let id = first.id.clone();
        let mut ring = locked(&self.ring);
        // What is not printed any more is kept until it is forgotten: something may be sealed with it still.
        for old in ring.drain(..) {
            if fresh.iter().all(|key| key.id != old.id) {
                fresh.push(old);
            }
        }
        *ring = std::mem::take(&mut *fresh);
        Ok(id)
    }

    /// What the operator should hear of, each once.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.notices))
    }

    /// Seals a secret for a place. The key file is made where there is none.
    ///
    /// # Errors
    /// Why not and what to do.
    pub fn seal(&self, place: &str, text: &str) -> Result<String, String> {
        let mut ring = self.ring()?;
        if ring.is_empty() {
            self.make_first(&mut ring)?;
        }
        let Some(key) = ring.first() else { return Err("there is no key".to_owned()) };
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| format!("the system gives no randomness: {error}"))?;
        let aad = bound_to(&key.id, place);
        let payload = Payload { msg: text.as_bytes(), aad: aad.as_bytes() };
        let sealed = key.cipher()?.encrypt(&XNonce::from(nonce), payload).map_err(|_| "it is too long".to_owned())?;
        let whole = [nonce.as_slice(), &sealed].concat();
        Ok(format!("{SEALED}{}:{}", key.id, BASE64_URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Opens a secret that was sealed for this place.
    ///
    /// # Errors
    /// Why not and what to do.
    pub fn unseal(&self, place: &str, sealed: &str) -> Result<String, String> {
        let (id, text) =
            sealed.strip_prefix(SEALED).and_then(|rest| rest.split_once(':')).ok_or("it is not as it was sealed")?;
        let ring = self.ring()?;
        let Some(key) = ring.iter().find(|key| key.id == id) else {
            let what = match &self.place {
                KeyPlace::Nowhere => return Err(self.missing()),
                KeyPlace::File(file) if ring.is_empty() => format!("the key file {} is not there", file.display()),
                KeyPlace::File(file) => format!("the key file {} has another key", file.display()),
                KeyPlace::Given(_) => "IOCAST_KEY has another key".to_owned(),
                KeyPlace::Command(_) => "the key command prints another key".to_owned(),
            };
            return Err(format!("its key {id} is needed and {what}; put it back, or give the secret again"));
        };
        let damaged = || "it was damaged, or sealed for another place; give the secret again".to_owned();
        let whole = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| damaged())?;
        let (nonce, text) = whole.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let aad = bound_to(id, place);
        let open = key.cipher()?.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: aad.as_bytes() });
        String::from_utf8(open.map_err(|_| damaged())?).map_err(|_| damaged())
    }

    /// Puts a new key first; the old ones stay. Gives the id of the new one. Where somebody else keeps the keys they are
    /// read again.
    ///
    /// # Errors
    /// Why not and what to do; nothing is changed then.
    pub fn add(&self) -> Result<String, String> {
        if matches!(self.place, KeyPlace::Given(_) | KeyPlace::Command(_)) {
            return self.again();
        }
        let mut ring = self.ring()?;
        ring.insert(0, Key::generate()?);
        let id = ring[0].id.clone();
        if let Err(why) = self.write(&ring) {
            ring.remove(0);
            return Err(why);
        }
        Ok(id)
    }

    /// Forgets every key but the one in use. Gives how many were forgotten.
    ///
    /// # Errors
    /// Why not and what to do.
    pub fn forget_old(&self) -> Result<usize, String> {
        let mut ring = self.ring()?;
        let n_old = ring.len().saturating_sub(1);
        if matches!(self.place, KeyPlace::Given(_) | KeyPlace::Command(_)) {
            ring.truncate(1);
            return Ok(n_old);
        }
        self.write(&ring[..ring.len().min(1)])?;
        ring.truncate(1);
        Ok(n_old)
    }

    fn file(&self) -> Result<&Path, String> {
        match &self.place {
            KeyPlace::File(file) => Ok(file),
            _ => Err(self.missing()),
        }
    }

    fn missing(&self) -> String {
        match &self.place {
            KeyPlace::Given(_) => "IOCAST_KEY holds no key",
            KeyPlace::Command(_) => "the key command prints no key",
            _ => {
                "there is no place for a key file: name one outside the data directory with --key-file FILE or \
                 IOCAST_KEY_FILE"
            }
        }
        .to_owned()
    }

    /// The keys of the file; none where there is no file.
    fn ring(&self) -> Result<MutexGuard<'_, Vec<Key>>, String> {
        let mut ring = locked(&self.ring);
        if !ring.is_empty() {
            return Ok(ring);
        }
        *ring = match &self.place {
            KeyPlace::Nowhere => Vec::new(),
            KeyPlace::File(file) => self.read_file(file)?,
            KeyPlace::Given(text) => {
                let text = Secret::new(text.reveal().replace(',', "\n"));
                let keys = parse(&text)
                    .map_err(|at| format!("IOCAST_KEY is no key (line {at}): see `iocast serve --help`"))?;
                some(keys, || self.missing())?
            }
            KeyPlace::Command(command) => {
                let text = printed(command).map_err(|why| format!("the key command {why}"))?;
                let keys = parse(&text)
                    .map_err(|at| format!("the key command prints something that is no key (line {at})"))?;
                some(keys, || self.missing())?
            }
        };
        Ok(ring)
    }

    fn read_file(&self, file: &Path) -> Result<Vec<Key>, String> {
        let about = |why: String| format!("the key file {} {why}", file.display());
        let data = self.data.canonicalize().unwrap_or_else(|_| self.data.clone());
        if real(file).starts_with(&data) {
            return Err(about(format!(
                "lies in the data directory {}: a key beside what it opens protects nothing; move it and name it with \
                 --key-file",
                data.display()
            )));
        }
        let opened = match fs::File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(about(format!("cannot be read: {error}"))),
        };
        private(&opened).map_err(about)?;
        let mut text = String::new();
        let read = opened.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text);
        let text = Secret::new(text);
        read.map_err(|error| about(format!("cannot be read: {error}")))?;
        // Of a damaged file nothing is kept: else the next caller would find the half of it that could be read, and
        // write that back over the whole.
        let keys = parse(&text).map_err(|at| about(format!("is no key file (line {at}): put the right one back")))?;
        some(keys, || about("holds no key: put the right one back, or remove it and give the secrets again".to_owned()))
    }

    fn write(&self, ring: &[Key]) -> Result<(), String> {
        let file = self.file()?;
        let done = match file.exists() {
            true => replace(file, &written(ring)),
            false => place_new(file, &written(ring)),
        };
        done.map_err(|why| format!("the key file {} cannot be written: {why}", file.display()))
    }
}

fn some(keys: Vec<Key>, missing: impl FnOnce() -> String) -> Result<Vec<Key>, String> {
    if keys.is_empty() { Err(missing()) } else { Ok(keys) }
}

/// Keys, one a line, with their ids or without; remarks begin with `#`. The error is the number of a wrong line.
fn parse(text: &Secret) -> Result<Vec<Key>, usize> {
    let mut found = Vec::new();
    for (at, line) in text.reveal().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = at + 1;
        let (id, key) = line.split_once(' ').map_or((None, line), |(id, key)| (Some(id), key));
        let bytes = zeroize::Zeroizing::new(BASE64_STANDARD.decode(key.trim()).map_err(|_| wrong)?);
        let key = Key::of(&bytes);
        if bytes.len() != KEY_BYTES || id.is_some_and(|id| id != key.id) {
            return Err(wrong);
        }
        found.push(key);
    }
    Ok(found)
}

/// What a command prints.
fn printed(command: &str) -> Result<Secret, String> {
    use std::process::{Command, Stdio};
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell)
        .args([flag, command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let out = child.stdout.take();
    let (send, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let done = out.map_or(Ok(0), |out| out.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text));
        let _ = send.send(done.map(|_| Secret::new(text)));
    });
    let Ok(text) = read.recv_timeout(COMMAND_PATIENCE) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("takes longer than {} s", COMMAND_PATIENCE.as_secs()));
    };
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    if !status.success() {
        return Err(format!("failed ({status})"));
    }
    text.map_err(|error| format!("prints what cannot be read: {error}"))
}

fn written(ring: &[Key]) -> Secret {
    let mut text = HEAD.to_owned();
    for key in ring {
        text.extend([key.id.as_str(), " ", key.text.reveal(), "\n"]);
    }
    Secret::new(text)
}

/// Where a path leads, links followed, also where its last parts are not there yet.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    let mut there = path.as_path();
    loop {
        if let Ok(found) = there.canonicalize() {
            return rest.iter().rev().fold(found, |path, part| path.join(part));
        }
        let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else { return path };
        rest.push(name);
        there = parent;
    }
}

/// Refuses a file that others may read, or its group may write.
#[cfg(unix)]
fn private(file: &fs::File) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(|error| format!("cannot be read: {error}"))?.permissions().mode();
    match mode & 0o027 {
        0 => Ok(()),
        _ => Err(format!(
            "may be read by others (mode {:o}): chmod 600, and rotate the key if others could",
            mode & 0o777
        )),
    }
}

#[cfg(not(unix))]
fn private(_: &fs::File) -> Result<(), String> {
    Ok(())
}

fn write_new(path: &Path, text: &Secret) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.reveal().as_bytes())?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Makes a file that is there whole or not at all, and never over another.
fn place_new(path: &Path, text: &Secret) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
    }
    let part = beside(path);
    let _ = fs::remove_file(&part);
    write_new(&part, text)?;
    // A link fails where a name is taken, a move would not.
    let linked = fs::hard_link(&part, path);
    let _ = fs::remove_file(&part);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_new(path, text),
        done => done,
    }?;
    sync_parent(path)
}

/// Replaces a file at once.
fn replace(path: &Path, text: &Secret) -> io::Result<()> {
    // A link is followed, so that the file it names is replaced and the link stays.
    let path = &real(path);
    let part = beside(path);
    let _ = fs::remove_file(&part);
    write_new(&part, text)?;
    fs::rename(&part, path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "connection/edr/settings.token";

    fn keys(dir: &Path) -> Keys {
        fs::create_dir_all(dir.join("data")).unwrap();
        Keys::new(Some(dir.join("conf/key")), dir.join("data"))
    }

    #[test]
    fn a_sealed_secret_opens_at_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let made = keys(dir.path());
        let sealed = made.seal(PLACE, "canary").unwrap();
        assert!(sealed.starts_with("sealed:") && !sealed.contains("canary"), "{sealed}");
        assert_ne!(sealed, made.seal(PLACE, "canary").unwrap(), "each has a nonce of its own");
        assert_eq!(made.notices().len(), 1, "the key file was told of, once");
        let again = keys(dir.path());
        assert_eq!(again.unseal(PLACE, &sealed).unwrap(), "canary");
        assert!(again.unseal("connection/other/settings.token", &sealed).unwrap_err().contains("another place"));
        for at in 0..sealed.len() {
            let mut other = sealed.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            // The last letter of base64 may hold bits that mean nothing.
            if at + 1 < sealed.len() {
                assert!(again.unseal(PLACE, &other).is_err(), "{other}");
            }
        }
        for short in ["sealed:", "sealed:x", "sealed:x:", "sealed::AA"] {
            assert!(again.unseal(PLACE, short).is_err(), "{short}");
        }
    }

    #[test]
    fn a_rotated_key_file_opens_the_old_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let ours = keys(dir.path());
        let old = ours.seal(PLACE, "canary").unwrap();
        let id = ours.add().unwrap();
        let new = ours.seal(PLACE, "canary").unwrap();
        assert!(new.contains(&id) && !old.contains(&id));
        assert_eq!(keys(dir.path()).unseal(PLACE, &old).unwrap(), "canary");
        assert_eq!(ours.forget_old().unwrap(), 1);
        assert!(keys(dir.path()).unseal(PLACE, &old).unwrap_err().contains("has another key"));
        assert_eq!(keys(dir.path()).unseal(PLACE, &new).unwrap(), "canary");
        assert!(!dir.path().join("conf/key.new").exists());
    }

    #[test]
    #[cfg(unix)]
    fn keys_are_given_or_printed_too() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let made = Key::generate().unwrap();
        let given = Keys::at(KeyPlace::Given(Secret::new(made.text.reveal())), data.clone());
        let sealed = given.seal(PLACE, "canary").unwrap();
        assert_eq!(given.auditors().unwrap().len(), 1);
        let file = dir.path().join("vault");
        let vault = |keys: &[&Key]| fs::write(&file, written_of(keys)).unwrap();
        vault(&[&made]);
        let command = Keys::at(KeyPlace::Command(format!("cat '{}'", file.display())), data.clone());
        assert_eq!(command.unseal(PLACE, &sealed).unwrap(), "canary");
        let next = Key::generate().unwrap();
        vault(&[&next]);
        assert_eq!(command.add().unwrap(), next.id, "rotated where it is kept");
        assert_eq!(command.unseal(PLACE, &sealed).unwrap(), "canary", "what was sealed before still opens");
        assert!(command.seal(PLACE, "x").unwrap().contains(&next.id));
        assert!(command.lacks("sealed:0000:x") && !command.lacks(&sealed));
        assert_eq!(command.forget_old().unwrap(), 1);
        assert!(command.unseal(PLACE, &sealed).unwrap_err().contains("prints another key"));
        for (text, says) in [("exit 3", "failed"), ("echo x", "no key (line 1)"), ("true", "prints no key")] {
            let why = Keys::at(KeyPlace::Command(text.into()), data.clone()).seal(PLACE, "x").unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
        assert!(
            Keys::at(KeyPlace::Given(Secret::new("no")), data).seal(PLACE, "x").unwrap_err().contains("IOCAST_KEY")
        );
    }

    fn written_of(keys: &[&Key]) -> String {
        keys.iter().map(|key| format!("{} {}\n", key.id, key.text.reveal())).collect()
    }

    #[test]
    #[cfg(unix)]
    fn key_files_that_protect_nothing_are_refused() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |file: PathBuf| Keys::new(Some(file), dir.path().join("data"));
        let sealed = keys(dir.path()).seal(PLACE, "canary").unwrap();
        let file = dir.path().join("conf/key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let inside = dir.path().join("data/key");
        assert!(at(inside.clone()).seal(PLACE, "x").unwrap_err().contains("lies in the data directory"));
        assert!(at(dir.path().join("data/more/key")).seal(PLACE, "x").is_err());
        assert!(at(dir.path().join("conf/../data/key")).seal(PLACE, "x").is_err());
        fs::copy(&file, &inside).unwrap();
        let link = dir.path().join("link");
        symlink(&inside, &link).unwrap();
        assert!(at(link).unseal(PLACE, &sealed).unwrap_err().contains("lies in the data directory"));
        let folder = dir.path().join("folder");
        symlink(dir.path().join("data"), &folder).unwrap();
        assert!(at(folder.join("new")).seal(PLACE, "x").is_err());
        assert!(!dir.path().join("data/new").exists());

        for (mode, fine) in [(0o644, false), (0o604, false), (0o660, false), (0o640, true), (0o400, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(at(file.clone()).unseal(PLACE, &sealed).is_ok(), fine, "{mode:o}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for text in
            ["", "# nothing\n", "x", "0011 AAAA\n", "0011223344556677 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"]
        {
            fs::write(&file, text).unwrap();
            let why = at(file.clone()).seal(PLACE, "x").unwrap_err();
            assert!(why.contains("put the right one back"), "{text:?}: {why}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text, "a file that is there is never written over");
        }
        fs::remove_file(&file).unwrap();
        assert!(at(file).unseal(PLACE, &sealed).unwrap_err().contains("is not there"));
        assert!(Keys::new(None, dir.path().join("data")).seal(PLACE, "x").unwrap_err().contains("--key-file"));
    }
}
