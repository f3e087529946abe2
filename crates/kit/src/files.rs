//! Local files, below the directories the operator named at start-up and nowhere else.
//!
//! Who may configure a connection must not thereby read or write the machine. A path is made canonical first, so
//! neither `..` nor a symbolic link leads out, and what is opened must be a plain file: no pipe that blocks, no device
//! that never ends.

use crate::decode::glob_matches;
use crate::error::ConnectorError;
use intel::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// The right to use files below some directories.
#[derive(Debug, Clone, Default)]
pub struct Files {
    roots: Vec<PathBuf>,
}

/// A plain file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    /// Where it really is.
    pub path: PathBuf,
    /// When it was last changed, where the file system knows.
    pub modified: Option<Timestamp>,
    /// How long it was when it was opened, in bytes.
    pub len: u64,
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// Directories looked at for one pattern.
const MAX_DIRECTORIES: usize = 10_000;
/// Files found by one pattern.
const MAX_FOUND: usize = 100_000;

impl Files {
    /// Files below any of these directories; with none, no file at all. Relative ones are taken from where we are now.
    pub fn below(roots: Vec<PathBuf>) -> Files {
        let absolute = |root: PathBuf| std::path::absolute(&root).unwrap_or(root);
        Files { roots: roots.into_iter().map(absolute).collect() }
    }

    /// Opens a plain file, given as a path or a `file:` address.
    ///
    /// # Errors
    /// `Denied` when it is not below an allowed directory or no plain file, `Later` when it is not there or not
    /// readable.
    pub fn open(&self, path: &str) -> Result<OpenFile, ConnectorError> {
        let asked = local_path(path)?;
        let real = self.real(&asked)?;
        let told = |error: io::Error| trouble(&asked, &error);
        let before = fs::symlink_metadata(&real).map_err(told)?;
        if !before.is_file() {
            return Err(ConnectorError::Denied(format!("{}: only plain files are read", asked.display())));
        }
        let mut options = OpenOptions::new();
        options.read(true);
        no_surprise(&mut options);
        let file = options.open(&real).map_err(told)?;
        let meta = file.metadata().map_err(told)?;
        if !meta.is_file() || !same_file(&before, &meta) {
            return Err(ConnectorError::Denied(format!("{}: it was replaced while it was opened", asked.display())));
        }
        let modified = meta.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let modified = modified.map(|since| Timestamp::EPOCH.after(since));
        Ok(OpenFile { file, path: real, modified, len: meta.len() })
    }

    /// Is there a plain file? What is not allowed is an error, not absence.
    ///
    /// # Errors
    /// `Denied` as for [`Files::open`].
    pub fn exists(&self, path: &str) -> Result<bool, ConnectorError> {
        match self.open(path) {
            Ok(_) => Ok(true),
            Err(ConnectorError::Later { .. }) if !local_path(path)?.exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The plain files that match a pattern, sorted: `*` and `?` inside one name, `**` for any directories. What leads
    /// out of the allowed directories is left out; a pattern whose fixed part does is refused.
    ///
    /// # Errors
    /// `Denied` as for [`Files::open`], `Unexpected` when the pattern matches too much.
    pub fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, ConnectorError> {
        let pattern = local_path(pattern)?;
        if pattern.components().any(|part| part == Component::ParentDir) {
            self.real(&pattern)?;
        }
        let parts: Vec<String> =
            pattern.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let is_wild = |part: &String| part.contains(['*', '?']);
        let fixed = parts.iter().position(is_wild).unwrap_or(parts.len() - 1);
        let base: PathBuf = parts[..fixed].iter().collect();
        let base_real = self.real(&base)?;
        let mut walk = Walk { files: self, found: Vec::new(), directories: 0 };
        walk.visit(&base_real, &parts[fixed..])
            .map_err(|why| ConnectorError::Unexpected(format!("{}: {why}", pattern.display())))?;
        walk.found.sort();
        walk.found.dedup();
        Ok(walk.found)
    }

    /// Replaces a file by what `write` writes, or leaves it as it was: readers see the old one or the new one, whole.
    /// A symbolic link is not followed; what is there must be a plain file.
    ///
    /// # Errors
    /// `Denied` when its directory is not below an allowed one, `Later` when it cannot be written.
    pub fn replace(
        &self,
        path: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), ConnectorError> {
        let asked = local_path(path)?;
        let told = |error: io::Error| trouble(&asked, &error);
        let name = match asked.components().next_back() {
            Some(Component::Normal(name)) => name.to_owned(),
            _ => return Err(ConnectorError::Denied(format!("{}: that is no name of a file", asked.display()))),
        };
        let directory = self.real(asked.parent().unwrap_or(Path::new("/")))?;
        let target = directory.join(name);
        match fs::symlink_metadata(&target) {
            Ok(meta) if !meta.is_file() => {
                return Err(ConnectorError::Denied(format!("{}: only plain files are replaced", asked.display())));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(told(error)),
        }
        let mut temporary = tempfile::Builder::new().prefix(".iocast-").tempfile_in(&directory).map_err(told)?;
        readable(temporary.as_file(), &target).map_err(told)?;
        let mut out = BufWriter::with_capacity(64 << 10, temporary.as_file_mut());
        write(&mut out).and_then(|()| out.flush()).map_err(told)?;
        drop(out);
        temporary.as_file().sync_all().map_err(told)?;
        temporary.persist(&target).map_err(|error| told(error.error))?;
        // The new name itself must survive a power cut.
        #[cfg(unix)]
        File::open(&directory).and_then(|directory| directory.sync_all()).map_err(told)?;
        Ok(())
    }

    /// The canonical path, if it is below a root.
    fn real(&self, asked: &Path) -> Result<PathBuf, ConnectorError> {
        // Where links do not matter yet: a path that is outside as it is written is refused before the disk is asked,
        // so that nobody learns what is there.
        let outside = || {
            let allowed = match self.roots.as_slice() {
                [] => "no directory is allowed".to_owned(),
                roots => {
                    let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
                    format!("allowed are {}", roots.join(", "))
                }
            };
            let path = asked.display();
            ConnectorError::Denied(format!(
                "{path} is not below an allowed directory ({allowed}); start with --files DIR"
            ))
        };
        if asked.components().any(|part| part == Component::ParentDir) {
            return Err(outside());
        }
        let real_roots: Vec<PathBuf> = self.roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
        let below = |path: &Path| self.roots.iter().chain(&real_roots).any(|root| path.starts_with(root));
        if !below(asked) {
            return Err(outside());
        }
        let real = asked.canonicalize().map_err(|error| trouble(asked, &error))?;
        if real_roots.iter().any(|root| real.starts_with(root)) { Ok(real) } else { Err(outside()) }
    }
}

struct Walk<'a> {
    files: &'a Files,
    found: Vec<PathBuf>,
    directories: usize,
}

impl Walk<'_> {
    fn visit(&mut self, directory: &Path, parts: &[String]) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        self.directories += 1;
        if self.directories > MAX_DIRECTORIES || self.found.len() > MAX_FOUND {
            return Err(format!("the pattern matches more than {MAX_DIRECTORIES} directories or {MAX_FOUND} files"));
        }
        if part == "**" {
            self.visit(directory, rest)?;
        }
        // A directory that cannot be read has no files for us.
        let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let hidden = name.starts_with('.') && !part.starts_with('.');
            if hidden || !(part == "**" || glob_matches(part, &name)) {
                continue;
            }
            // Links are followed as long as they stay inside; `**` follows none, or it could run in circles.
            let Ok(kind) = entry.file_type() else { continue };
            if part == "**" {
                if kind.is_dir() {
                    self.visit(&entry.path(), parts)?;
                }
                continue;
            }
            let Ok(real) = self.files.real(&entry.path()) else { continue };
            if !rest.is_empty() && real.is_dir() {
                self.visit(&real, rest)?;
            } else if rest.is_empty() && real.is_file() {
                self.found.push(real);
            }
        }
        Ok(())
    }
}

/// A path as written, or the path of a `file:` address. Relative paths are taken from where we are now.
fn local_path(text: &str) -> Result<PathBuf, ConnectorError> {
    let wrong = || ConnectorError::Denied(format!("{text:?} is no address of a local file, such as file:///dir/name"));
    let path = if text.starts_with("file:") {
        // A pattern's question mark would begin a query.
        let url = url::Url::parse(&text.replace('?', "%3F")).map_err(|_| wrong())?;
        url.to_file_path().map_err(|()| wrong())?
    } else {
        PathBuf::from(text)
    };
    if text.is_empty() || text.contains('\0') {
        return Err(wrong());
    }
    // `absolute` drops `.` and keeps `..`.
    std::path::absolute(path).map_err(|_| wrong())
}

fn trouble(path: &Path, error: &io::Error) -> ConnectorError {
    ConnectorError::Later { wait: None, why: format!("{}: {error}", path.display()) }
}

#[cfg(unix)]
fn no_surprise(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A pipe put there in the meantime must not block us, nor a link lead us on.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC);
}

#[cfg(not(unix))]
fn no_surprise(_: &mut OpenOptions) {}

#[cfg(unix)]
fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Block lists are read by others: a new file is readable by all, one that is there keeps its rights.
#[cfg(unix)]
fn readable(file: &File, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(target).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn readable(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        files: Files,
    }

    impl Place {
        fn new() -> Place {
            let dir = tempfile::tempdir().unwrap();
            let inside = dir.path().join("in");
            fs::create_dir_all(inside.join("sub/deep")).unwrap();
            for (name, text) in [
                ("in/a.txt", "a"),
                ("in/sub/b.txt", "b"),
                ("in/sub/deep/c.txt", "c"),
                ("in/.hidden.txt", "h"),
                ("secret.txt", "canary"),
            ] {
                fs::write(dir.path().join(name), text).unwrap();
            }
            Place { files: Files::below(vec![inside]), dir }
        }

        fn path(&self, name: &str) -> String {
            self.dir.path().join(name).to_string_lossy().into_owned()
        }

        fn read(&self, path: &str) -> Result<String, ConnectorError> {
            let mut text = String::new();
            self.files.open(path)?.read_to_string(&mut text).unwrap();
            Ok(text)
        }
    }

    fn denied<T>(result: Result<T, ConnectorError>) -> String {
        match result {
            Err(ConnectorError::Denied(why)) => why,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was allowed"),
        }
    }

    #[test]
    fn files_below_a_root_are_read() {
        let place = Place::new();
        assert_eq!(place.read(&place.path("in/a.txt")).unwrap(), "a");
        assert_eq!(place.read(&format!("file://{}", place.path("in/./sub/b.txt"))).unwrap(), "b");
        let open = place.files.open(&place.path("in/a.txt")).unwrap();
        assert_eq!(open.len, 1);
        assert!(open.modified.is_some());
        assert!(place.files.exists(&place.path("in/a.txt")).unwrap());
        assert!(!place.files.exists(&place.path("in/none.txt")).unwrap());
        assert!(matches!(place.files.open(&place.path("in/none.txt")), Err(ConnectorError::Later { .. })));
    }

    #[test]
    fn nothing_else_is() {
        let place = Place::new();
        for path in [
            place.path("secret.txt"),
            place.path("in/../secret.txt"),
            format!("file://{}", place.path("in/../secret.txt")),
            format!("file://{}", place.path("in/%2e%2e/secret.txt")),
            place.path("inner.txt"),
            "/etc/passwd".into(),
            "file:///etc/passwd".into(),
            "/proc/self/environ".into(),
            "/dev/zero".into(),
            "relative.txt".into(),
        ] {
            let why = denied(place.files.open(&path));
            assert!(why.contains("--files DIR") && why.contains("/in"), "{why}");
        }
        for path in ["file://host/etc/passwd", "", "a\0b", "file:"] {
            let why = denied(place.files.open(path));
            assert!(why.contains("no address of a local file") || why.contains("--files"), "{why}");
        }
        denied(place.files.open(&place.path("in")));
        assert!(denied(Files::default().open("/etc/passwd")).contains("no directory is allowed"));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_and_pipes_do_not_block() {
        use std::os::unix::fs::symlink;
        let place = Place::new();
        symlink(place.path("secret.txt"), place.path("in/link.txt")).unwrap();
        symlink(place.dir.path(), place.path("in/up")).unwrap();
        symlink(place.path("in/a.txt"), place.path("in/alias.txt")).unwrap();
        symlink("/dev/zero", place.path("in/zero.txt")).unwrap();
        denied(place.files.open(&place.path("in/link.txt")));
        denied(place.files.open(&place.path("in/up/secret.txt")));
        denied(place.files.open(&place.path("in/zero.txt")));
        assert_eq!(place.read(&place.path("in/alias.txt")).unwrap(), "a");
        let socket = std::os::unix::net::UnixListener::bind(place.path("in/s.txt")).unwrap();
        assert!(denied(place.files.open(&place.path("in/s.txt"))).contains("plain files"));
        drop(socket);
        let found = place.files.glob(&place.path("in/*.txt")).unwrap();
        assert_eq!(
            found,
            [fs::canonicalize(place.path("in/a.txt")).unwrap()],
            "links out and other things are left out"
        );
        assert!(place.files.glob(&place.path("in/up/*.txt")).is_err());
        denied(place.files.replace(&place.path("in/link.txt"), |_| Ok(())));
        denied(place.files.replace(&place.path("in/up/secret.txt"), |_| Ok(())));
        assert_eq!(fs::read_to_string(place.path("secret.txt")).unwrap(), "canary");
        // A root that is itself a link is a root.
        symlink(place.path("in"), place.path("root")).unwrap();
        let linked = Files::below(vec![place.path("root").into()]);
        assert!(linked.open(&place.path("root/a.txt")).is_ok());
    }

    #[test]
    fn patterns() {
        let place = Place::new();
        for (pattern, expect) in [
            ("in/*.txt", "a.txt"),
            ("in/?.txt", "a.txt"),
            ("in/*/*.txt", "sub/b.txt"),
            ("in/**/*.txt", "a.txt sub/b.txt sub/deep/c.txt"),
            ("in/sub/**/c.*", "sub/deep/c.txt"),
            ("in/a.txt", "a.txt"),
            ("in/.*", ".hidden.txt"),
            ("in/*.csv", ""),
        ] {
            for text in [place.path(pattern), format!("file://{}", place.path(pattern))] {
                let found = place.files.glob(&text).unwrap();
                let root = fs::canonicalize(place.path("in")).unwrap();
                let names: Vec<String> =
                    found.iter().map(|path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned()).collect();
                assert_eq!(names.join(" "), expect, "{text}");
            }
        }
        denied(place.files.glob(&place.path("*.txt")));
        denied(place.files.glob(&place.path("*/*.txt")));
        denied(place.files.glob("/etc/*"));
        denied(place.files.glob(&place.path("in/*/../../secret.txt")));
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let place = Place::new();
        let target = place.path("in/list.txt");
        place.files.replace(&target, |out| out.write_all(b"one\n")).unwrap();
        assert_eq!(place.read(&target).unwrap(), "one\n");
        let failed = place.files.replace(&target, |out| {
            out.write_all(&[b'x'; 200_000])?;
            Err(io::Error::other("no more"))
        });
        assert!(matches!(failed, Err(ConnectorError::Later { .. })));
        assert_eq!(place.read(&target).unwrap(), "one\n");
        let left: Vec<_> = fs::read_dir(place.path("in")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".iocast-")), "{left:?}");
        denied(place.files.replace(&place.path("out.txt"), |_| Ok(())));
        denied(place.files.replace(&place.path("in/sub"), |_| Ok(())));
        denied(place.files.replace(&place.path("in/sub/.."), |_| Ok(())));
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_we_write() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = Place::new();
        let target = place.path("in/list.txt");
        let mode = || fs::metadata(&target).unwrap().permissions().mode() & 0o777;
        place.files.replace(&target, |_| Ok(())).unwrap();
        assert_eq!(mode(), 0o644);
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        place.files.replace(&target, |_| Ok(())).unwrap();
        assert_eq!(mode(), 0o640);
    }
}
