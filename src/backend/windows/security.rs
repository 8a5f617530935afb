//! Rights: who owns a file, its list of rights, and making what has rights of its own from its beginning.
//! Read next: `file.rs`.
#![expect(unsafe_code, reason = "only Windows says who may do what with a file")]

use super::{Windows, account, done, wide};
use crate::platform::windows::{Security, SecurityInfo};
use std::{
    ffi::{OsStr, c_void},
    fs::File,
    io,
    os::windows::io::{AsRawHandle, FromRawHandle},
    path::Path,
    ptr, slice,
};
use windows_sys::Win32::{
    Foundation::{GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE, LocalFree},
    Security::{
        ACL,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1, SE_FILE_OBJECT,
        },
        DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
        PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES, SetKernelObjectSecurity,
    },
    Storage::FileSystem::{
        CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_FLAG_OPEN_REPARSE_POINT,
        FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    },
};

/// A security descriptor that Windows allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: allocated by Windows for us with LocalAlloc, and freed once.
        unsafe { LocalFree(self.0) };
    }
}

impl Descriptor {
    fn of(rights: &str) -> io::Result<Descriptor> {
        // A text without a list would give everything to everybody.
        if !rights.starts_with("D:P(") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a list of rights that does not begin with `D:P(`",
            ));
        }
        let text = wide::of(OsStr::new(rights))?;
        let mut descriptor = ptr::null_mut();
        // SAFETY: text that ends with a NUL, and a place for one pointer.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Descriptor(descriptor))
    }

    /// For making something; the descriptor has to outlive that.
    fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
            lpSecurityDescriptor: self.0.cast::<c_void>(),
            bInheritHandle: 0,
        }
    }
}

impl Security for Windows {
    fn security(&self, file: &File) -> io::Result<SecurityInfo> {
        let (mut owner, mut list, mut descriptor): (PSID, *mut ACL, PSECURITY_DESCRIPTOR) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: an open file, and places for three pointers.
        let code = unsafe {
            GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                &raw mut owner,
                ptr::null_mut(),
                &raw mut list,
                ptr::null_mut(),
                &raw mut descriptor,
            )
        };
        if code != 0 {
            return Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX)));
        }
        let _descriptor = Descriptor(descriptor);
        // SAFETY: NULL or a SID inside the descriptor, which is still there.
        let owner = unsafe { account::copy(owner) };
        let list = (!list.is_null()).then(|| {
            // SAFETY: a DACL inside the descriptor; its head says how many bytes it has.
            unsafe { slice::from_raw_parts(list.cast::<u8>(), usize::from((*list).AclSize)) }.to_vec()
        });
        Ok(SecurityInfo { owner, list })
    }

    fn protect(&self, file: &File, rights: &str) -> io::Result<()> {
        let descriptor = Descriptor::of(rights)?;
        let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        // SAFETY: an open file, and a descriptor that is still there.
        done(unsafe { SetKernelObjectSecurity(file.as_raw_handle(), what, descriptor.0) })
    }

    fn create_folder(&self, path: &Path, rights: &str) -> io::Result<()> {
        let descriptor = Descriptor::of(rights)?;
        let attributes = descriptor.attributes();
        let path = wide::of(path.as_os_str())?;
        // SAFETY: a path that ends with a NUL, and attributes whose descriptor is still there.
        done(unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) })
    }

    fn create_file(&self, path: &Path, rights: Option<&str>) -> io::Result<File> {
        let descriptor = rights.map(Descriptor::of).transpose()?;
        let attributes = descriptor.as_ref().map(Descriptor::attributes);
        let path = wide::of(path.as_os_str())?;
        // SAFETY: a path that ends with a NUL, and NULL or attributes whose descriptor is still there.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                GENERIC_READ | GENERIC_WRITE,
                FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                attributes.as_ref().map_or(ptr::null(), ptr::from_ref),
                CREATE_NEW,
                FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT,
                ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a handle that was opened above, owned by nobody else.
        Ok(unsafe { File::from_raw_handle(handle) })
    }
}
