//! Files: which one it is, where it lies, its lock. Read next: `host.rs`.
#![expect(unsafe_code, reason = "the standard library does not tell which file an open one is, nor lock a part of one")]

use super::{Windows, done, wide};
use crate::platform::{FileStamp, windows::Files};
use std::{fs::File, io, mem, os::windows::io::AsRawHandle, path::Path, ptr};
use windows_sys::Win32::{
    Foundation::ERROR_IO_PENDING,
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_BASIC_INFO, FileBasicInfo, GetDiskFreeSpaceExW, GetDriveTypeW,
        GetFileInformationByHandle, GetFileInformationByHandleEx, GetVolumePathNameW, LOCKFILE_EXCLUSIVE_LOCK,
        LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW,
        UnlockFileEx,
    },
    System::IO::OVERLAPPED,
};

impl Files for Windows {
    fn stamp(&self, file: &File) -> io::Result<FileStamp> {
        // SAFETY: numbers alone, so zeros make a valid value.
        let mut found: BY_HANDLE_FILE_INFORMATION = unsafe { mem::zeroed() };
        // SAFETY: an open file, and a place for the structure.
        done(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) })?;
        let mut times = FILE_BASIC_INFO::default();
        let room = u32::try_from(size_of::<FILE_BASIC_INFO>()).unwrap_or_default();
        // SAFETY: an open file, and a place for the structure that this class fills.
        done(unsafe {
            GetFileInformationByHandleEx(file.as_raw_handle(), FileBasicInfo, (&raw mut times).cast(), room)
        })?;
        Ok(FileStamp {
            device: u64::from(found.dwVolumeSerialNumber),
            inode: joined(found.nFileIndexHigh, found.nFileIndexLow),
            size: joined(found.nFileSizeHigh, found.nFileSizeLow),
            ctime_ns: unix_ns(times.ChangeTime),
        })
    }

    fn replace(&self, draft: &Path, path: &Path) -> io::Result<()> {
        let (draft, path) = (wide::of(draft.as_os_str())?, wide::of(path.as_os_str())?);
        // SAFETY: two paths that end with a NUL.
        done(unsafe { MoveFileExW(draft.as_ptr(), path.as_ptr(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) })
    }

    fn drive_kind(&self, path: &Path) -> io::Result<u32> {
        let path = wide::of(path.as_os_str())?;
        let mut root = vec![0_u16; path.len().max(260)];
        let room = u32::try_from(root.len()).unwrap_or_default();
        // SAFETY: a path that ends with a NUL, and a buffer of `room` units.
        done(unsafe { GetVolumePathNameW(path.as_ptr(), root.as_mut_ptr(), room) })?;
        // SAFETY: a path that ends with a NUL.
        Ok(unsafe { GetDriveTypeW(root.as_ptr()) })
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let path = wide::of(folder.as_os_str())?;
        let mut free = 0;
        // SAFETY: a path that ends with a NUL, and a place for one number.
        done(unsafe { GetDiskFreeSpaceExW(path.as_ptr(), &raw mut free, ptr::null_mut(), ptr::null_mut()) })?;
        Ok(free)
    }

    fn lock(&self, file: &File, waits: bool) -> io::Result<()> {
        let flags = LOCKFILE_EXCLUSIVE_LOCK | if waits { 0 } else { LOCKFILE_FAIL_IMMEDIATELY };
        let mut place = Box::new(far_behind());
        // SAFETY: an open file. What the structure is used for ends with the call, or else it is never freed.
        let locked = done(unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut *place) });
        // Of a file that was opened for asynchronous use; none of ours is.
        if locked.as_ref().is_err_and(|error| error.raw_os_error() == i32::try_from(ERROR_IO_PENDING).ok()) {
            Box::leak(place);
        }
        locked
    }

    fn unlock(&self, file: &File) {
        let mut place = far_behind();
        // SAFETY: as for `lock`.
        let _ends_with_the_file = unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut place) };
    }
}

/// Where the byte is that is locked: a lock of Windows also keeps others from reading what it covers.
fn far_behind() -> OVERLAPPED {
    // SAFETY: numbers and NULL, so zeros make a valid value.
    let mut place: OVERLAPPED = unsafe { mem::zeroed() };
    place.Anonymous.Anonymous.OffsetHigh = 0x7fff_ffff;
    place
}

const fn joined(high: u32, low: u32) -> u64 {
    let [a, b, c, d] = high.to_be_bytes();
    let [e, f, g, h] = low.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A time of Windows, in units of 100 ns since 1601, as nanoseconds since 1970.
const fn unix_ns(time: i64) -> i64 {
    const FROM_1601_TO_1970: i64 = 116_444_736_000_000_000;
    time.saturating_sub(FROM_1601_TO_1970).saturating_mul(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(unix_ns(116_444_736_000_000_001), 100);
    }

    #[test]
    fn halves_are_joined_in_their_order() {
        assert_eq!(joined(1, 2), 0x1_0000_0002);
    }
}
