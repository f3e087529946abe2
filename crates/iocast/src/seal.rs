//! Sealing secrets: what the store keeps of a secret can be opened only with a key that lies outside the data directory.
//!
//! A sealed secret is `sealed:KEY-ID:TEXT`, where the text is a random nonce and the secret under XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03), in base64 without padding. Key id and place (which document, which setting) are
//! authenticated with it, so that a sealed secret opens only where it was set. The key file holds one key a line, `ID
//! KEY`, the one in use first; older ones stay until they are forgotten, so that backups can be read. Nothing here is
//! logged but file names and key ids. A key file is read when it is first needed: without one an exchange starts, and only
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

    fn cipher(&self) -> Result<XChaCha20Poly1305, String> {
        let bytes = BASE64_STANDARD.decode(self.text.reveal()).map_err(|_| "the key is no base64".to_owned())?;
        XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| format!("a key has {KEY_BYTES} bytes"))
    }
}

/// The keys of one exchange, in a file outside its data directory.
pub struct Keys {
    /// None: nobody said where, and the system has no place for configuration.
    file: Option<PathBuf>,
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
        Keys { file, data, ring: Mutex::new(Vec::new()), notices: Mutex::new(Vec::new()) }
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
            let file = self.file()?;
            ring.push(Key::generate()?);
            if let Err(why) = place_new(file, &written(&ring)) {
                ring.clear();
                return Err(format!("the key file {} cannot be made: {why}", file.display()));
            }
            locked(&self.notices).push(format!(
                "made the key file {}: without it the secrets in the data directory and in backups cannot be opened; keep a \
                 copy elsewhere",
                file.display()
            ));
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
            let file = self.file()?;
            let what = if ring.is_empty() { "is not there" } else { "has another key" };
            return Err(format!(
                "its key {id} is needed and the key file {} {what}; put it back, or give the secret again",
                file.display()
            ));
        };
        let damaged = || "it was damaged, or sealed for another place; give the secret again".to_owned();
        let whole = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| damaged())?;
        let (nonce, text) = whole.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let aad = bound_to(id, place);
        let open = key.cipher()?.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: aad.as_bytes() });
        String::from_utf8(open.map_err(|_| damaged())?).map_err(|_| damaged())
    }

    /// Puts a new key first; the old ones stay. Gives the id of the new one.
    ///
    /// # Errors
    /// Why not and what to do; nothing is changed then.
    pub fn add(&self) -> Result<String, String> {
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
        self.write(&ring[..ring.len().min(1)])?;
        ring.truncate(1);
        Ok(n_old)
    }

    fn file(&self) -> Result<&Path, String> {
        self.file.as_deref().ok_or_else(|| {
            "there is no place for a key file: name one outside the data directory with --key-file FILE or IOCAST_KEY_FILE"
                .to_owned()
        })
    }

    /// The keys of the file; none where there is no file.
    fn ring(&self) -> Result<MutexGuard<'_, Vec<Key>>, String> {
        let mut ring = locked(&self.ring);
        if !ring.is_empty() {
            return Ok(ring);
        }
        let Some(file) = &self.file else { return Ok(ring) };
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ring),
            Err(error) => return Err(about(format!("cannot be read: {error}"))),
        };
        private(&opened).map_err(about)?;
        let mut text = String::new();
        let read = opened.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text);
        let text = Secret::new(text);
        read.map_err(|error| about(format!("cannot be read: {error}")))?;
        // Of a damaged file nothing is kept: else the next caller would find the half of it that could be read, and
        // write that back over the whole.
        let mut found = Vec::new();
        for (at, line) in text.reveal().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || about(format!("is no key file (line {}): put the right one back", at + 1));
            let (id, key) = line.split_once(' ').ok_or_else(wrong)?;
            let bytes = zeroize::Zeroizing::new(BASE64_STANDARD.decode(key.trim()).map_err(|_| wrong())?);
            let key = Key::of(&bytes);
            if bytes.len() != KEY_BYTES || key.id != id {
                return Err(wrong());
            }
            found.push(key);
        }
        if found.is_empty() {
            return Err(about(
                "holds no key: put the right one back, or remove it and give the secrets again".to_owned(),
            ));
        }
        *ring = found;
        Ok(ring)
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
