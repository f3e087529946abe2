//! The shim itself: SQLite's file system of this machine, with a disk asked before each call.
//!
//! A file of ours is a header with our table of methods, then, in the same allocation that SQLite makes for it, the
//! file of the system's own file system. Locks and shared memory go straight through.

use crate::image::Event;
use crate::{Call, Fault, Shared, disk_of};
use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR_DELETE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ, SQLITE_IOERR_TRUNCATE,
    SQLITE_IOERR_WRITE, SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::ptr;
use std::slice;
use std::sync::{Arc, OnceLock};

/// What precedes the system's own file.
#[repr(C)]
struct Header {
    base: sqlite3_file,
    /// Made at opening, freed at closing.
    state: *mut State,
}

struct State {
    path: PathBuf,
    disk: Arc<Shared>,
}

/// The file system beneath ours.
struct Real(*mut sqlite3_vfs);
// SAFETY: SQLite's file systems are made to be used from any thread, and live as long as the process.
unsafe impl Send for Real {}
// SAFETY: as above; it is never changed through this pointer.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

/// Registers the shim as the default file system; the first call counts.
pub(crate) fn install() {
    REAL.get_or_init(|| {
        // SAFETY: a null name asks for the default; the answer lives as long as the process.
        let real = unsafe { sqlite3_vfs_find(ptr::null()) };
        assert!(!real.is_null(), "SQLite has no file system");
        // SAFETY: it is not null and was filled in by SQLite; all its fields may be copied.
        let mut ours = unsafe { *real };
        ours.pNext = ptr::null_mut();
        ours.zName = c"faultvfs".as_ptr();
        ours.szOsFile += size_of::<Header>() as c_int;
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        // SAFETY: what is registered must live as long as the process, so it is leaked.
        let taken = unsafe { sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 1) };
        assert_eq!(taken, SQLITE_OK, "SQLite does not take the shim");
        Real(real)
    });
}

fn real() -> *mut sqlite3_vfs {
    // Nobody calls a shim that was not installed.
    REAL.get().map_or(ptr::null_mut(), |real| real.0)
}

/// The system's own file behind one of ours.
///
/// # Safety
/// `file` must be one that [`open`] was given.
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite allocates `szOsFile` bytes, which is ours and then the system's; ours is a multiple of 8 bytes.
    unsafe { file.cast::<Header>().add(1).cast() }
}

/// # Safety
/// `file` must be one that [`open`] succeeded for, and not closed.
unsafe fn state<'a>(file: *mut sqlite3_file) -> &'a State {
    // SAFETY: `open` has put a box there, which is freed by `close` alone.
    unsafe { &*(*file.cast::<Header>()).state }
}

/// Calls a method of the system's own file.
macro_rules! below {
    ($file:expr, $method:ident $(, $arg:expr)*) => {{
        // SAFETY: the file was opened by the system's file system, which has filled in its table of methods; a method
        // that it does not have is not asked for, as our table has the same ones.
        unsafe {
            let file = inner($file);
            match (*(*file).pMethods).$method {
                Some(method) => method(file $(, $arg)*),
                None => Default::default(),
            }
        }
    }};
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let real = real();
    // SAFETY: a null table says that there is nothing to close if opening fails; `file` is ours to fill in.
    unsafe { (*file).pMethods = ptr::null() };
    // Nameless files are temporary: not on any disk of ours, but still behind our header.
    let path = if name.is_null() {
        PathBuf::new()
    } else {
        // SAFETY: SQLite gives a name that ends with a zero and outlives the call.
        PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
    };
    let disk =
        disk_of(&path).unwrap_or_else(|| Arc::new(Shared { dir: PathBuf::new(), inner: std::sync::Mutex::default() }));
    if disk.pass(Call::Open).is_some() {
        return SQLITE_CANTOPEN;
    }
    disk.opened(&path);
    // SAFETY: the allocation has room for the system's file behind our header; `real` lives as long as the process.
    let code = unsafe {
        match (*real).xOpen {
            Some(open) => open(real, name, inner(file), flags, out),
            None => SQLITE_CANTOPEN,
        }
    };
    // SAFETY: the header is the beginning of the allocation. Which methods the system's file has says its version.
    unsafe {
        if code == SQLITE_OK {
            (*file.cast::<Header>()).state = Box::into_raw(Box::new(State { path, disk }));
            (*file).pMethods = &METHODS;
        } else if !(*inner(file)).pMethods.is_null() {
            // It wants to be closed although opening failed.
            if let Some(close) = (*(*inner(file)).pMethods).xClose {
                close(inner(file));
            }
        }
    }
    code
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    let real = real();
    // SAFETY: SQLite gives a name that ends with a zero and outlives the call.
    let path = PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()));
    if let Some(disk) = disk_of(&path) {
        if disk.pass(Call::Delete).is_some() {
            return SQLITE_IOERR_DELETE;
        }
        disk.note(|images| images.deleted(&path, sync_dir != 0));
    }
    // SAFETY: as it was given to us; `real` lives as long as the process.
    unsafe {
        match (*real).xDelete {
            Some(delete) => delete(real, name, sync_dir),
            None => SQLITE_IOERR_DELETE,
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: closing comes once, after everything else; nobody holds the state any more.
    drop(unsafe { Box::from_raw((*file.cast::<Header>()).state) });
    below!(file, xClose)
}

unsafe extern "C" fn read(file: *mut sqlite3_file, to: *mut c_void, n: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    if unsafe { state(file) }.disk.pass(Call::Read).is_some() {
        return SQLITE_IOERR_READ;
    }
    below!(file, xRead, to, n, at)
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, n: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    let State { path, disk } = unsafe { state(file) };
    let (size, place) = (usize::try_from(n).unwrap_or(0), usize::try_from(at).unwrap_or(0));
    // SAFETY: SQLite gives so many bytes to write.
    let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), size) };
    match disk.pass(Call::Write) {
        None => {
            disk.note(|images| images.event(path, Event::Write(place, bytes.to_vec())));
            below!(file, xWrite, from, n, at)
        }
        Some(fault) => {
            disk.note(|images| images.event(path, Event::Write(place, bytes[..size / 2].to_vec())));
            // Half of it is done, as far as the system can; that it fails is told in any case.
            let _: c_int = below!(file, xWrite, from, n / 2, at);
            if fault == Fault::Full { SQLITE_FULL } else { SQLITE_IOERR_WRITE }
        }
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    let State { path, disk } = unsafe { state(file) };
    if disk.pass(Call::Truncate).is_some() {
        return SQLITE_IOERR_TRUNCATE;
    }
    disk.note(|images| images.event(path, Event::Truncate(usize::try_from(size).unwrap_or(0))));
    below!(file, xTruncate, size)
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is open.
    let State { path, disk } = unsafe { state(file) };
    if disk.pass(Call::Sync).is_some() {
        disk.note(|images| images.lost(path));
        return SQLITE_IOERR_FSYNC;
    }
    // What is tested is what happens when power fails here, not this machine's disk: nothing is synced really.
    let _ = flags;
    disk.note(|images| images.synced(path));
    SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    below!(file, xFileSize, size)
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    below!(file, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    below!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    below!(file, xCheckReservedLock, out)
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, op: c_int, arg: *mut c_void) -> c_int {
    below!(file, xFileControl, op, arg)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    below!(file, xSectorSize)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    below!(file, xDeviceCharacteristics)
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    below!(file, xShmMap, page, size, extend, out)
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    below!(file, xShmLock, offset, n, flags)
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    below!(file, xShmBarrier);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    below!(file, xShmUnmap, delete)
}

/// Version 2: with shared memory, without mapped pages, which would go around us.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
