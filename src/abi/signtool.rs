//! The interface of signtool's `/dlib`, on Windows: raw memory in, one call of the gate, memory of Windows out. What is
//! given out is made before anything is spent and handed over only when all of it is there; on any error nothing is
//! written, and no certificate stays in the caller's store.
//! Source: "PFN_AUTHENTICODE_DIGEST_SIGN_EX_WITHFILEHANDLE callback function" (SecCrypto, MicrosoftDocs/win32).
//! Read next: `../gate/digest_sign.rs`.

use super::{
    entry::{Current, guard_or},
    life,
    pointer::{Bytes, read, write, write_array},
};
use crate::{
    gate::{
        Gate,
        digest_sign::{DigestCall, Expected, sha256_of},
        hresult::{self, Answer},
    },
    policy::MAX_METADATA_SIZE,
};
use parking_lot::Mutex;
use std::{fs::File, io, mem::ManuallyDrop, os::windows::io::FromRawHandle, ptr, sync::Arc};
use windows_sys::Win32::{
    Foundation::{HANDLE, INVALID_HANDLE_VALUE},
    Security::Cryptography::{
        ALG_ID, CERT_CONTEXT, CERT_FIND_EXISTING, CERT_STORE_ADD_NEW, CRYPT_INTEGER_BLOB,
        CertAddCertificateContextToStore, CertCreateCertificateContext, CertDeleteCertificateFromStore,
        CertFindCertificateInStore, CertFreeCertificateContext, HCERTSTORE, PKCS_7_ASN_ENCODING, X509_ASN_ENCODING,
    },
    Storage::FileSystem::{FILE_TYPE_DISK, GetFileType},
    System::Memory::{GetProcessHeap, HeapAlloc, HeapFree},
};

/// How certificates are written here.
const ENCODING: u32 = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;

/// signtool's way to a signature, for versions that hand over no file.
///
/// # Safety
/// The pointers are NULL or what "PFN_AUTHENTICODE_DIGEST_SIGN_EX callback function" says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn AuthenticodeDigestSignEx(
    metadata: *const CRYPT_INTEGER_BLOB,
    algorithm: ALG_ID,
    digest: *const u8,
    length: u32,
    signature: *mut CRYPT_INTEGER_BLOB,
    signer: *mut *const CERT_CONTEXT,
    chain: HCERTSTORE,
) -> i32 {
    // SAFETY: promised by the caller; no file.
    answer(|| unsafe { sign(metadata, algorithm, (digest, length), ptr::null_mut(), (signature, signer, chain)) })
}

/// signtool's way to a signature, with the file that is being signed.
///
/// # Safety
/// The pointers are NULL or what "PFN_AUTHENTICODE_DIGEST_SIGN_EX_WITHFILEHANDLE callback function" says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn AuthenticodeDigestSignExWithFileHandle(
    metadata: *const CRYPT_INTEGER_BLOB,
    algorithm: ALG_ID,
    digest: *const u8,
    length: u32,
    file: HANDLE,
    signature: *mut CRYPT_INTEGER_BLOB,
    signer: *mut *const CERT_CONTEXT,
    chain: HCERTSTORE,
) -> i32 {
    // SAFETY: promised by the caller.
    answer(|| unsafe { sign(metadata, algorithm, (digest, length), file, (signature, signer, chain)) })
}

/// S_OK or the answer, and E_FAIL for a panic, which goes no further.
fn answer(body: impl FnOnce() -> Result<(), Answer>) -> i32 {
    guard_or(hresult::of(Err(Answer::Fault)), || hresult::of(body()))
}

/// Where the caller wants what comes out.
type Out = (*mut CRYPT_INTEGER_BLOB, *mut *const CERT_CONTEXT, HCERTSTORE);

/// # Safety
/// Each pointer is NULL or good for what its type says; a digest has its length.
unsafe fn sign(
    metadata: *const CRYPT_INTEGER_BLOB,
    algorithm: ALG_ID,
    (digest, length): (*const u8, u32),
    file: HANDLE,
    (signature_out, signer_out, chain): Out,
) -> Result<(), Answer> {
    if signature_out.is_null() || signer_out.is_null() || chain.is_null() {
        return Err(wrong("signtool: a pointer for what is to come out is NULL"));
    }
    // SAFETY: promised by the caller.
    let metadata = unsafe { blob(metadata) }?;
    let digest = match digest.is_null() {
        true => None,
        // SAFETY: promised by the caller.
        false => Some(unsafe { bytes(digest, length, "the digest") }?),
    };
    let gate = without_initialize()?;
    // SAFETY: promised by the caller: a handle, which stays his.
    let artifact = &|| unsafe { shown(&gate, file) };
    let call = DigestCall { metadata: metadata.as_deref(), algorithm, digest: digest.as_deref(), artifact };
    let (signature, made) = gate.sign_digest(&call, |expected| {
        // SAFETY: the caller's own store, open for the length of the call.
        unsafe { Made::of(expected, chain) }
    })?;
    if signature.len() > made.room.length {
        return Err(Answer::Fault);
    }
    // SAFETY: the room has been made for so many bytes.
    unsafe { write_array(made.room.memory, &signature) }.map_err(Answer::of)?;
    let length = u32::try_from(signature.len()).map_err(|_| Answer::Fault)?;
    let Made { certificates, room, added } = made;
    let leaf = certificates.into_iter().next().ok_or(Answer::Fault)?;
    // SAFETY: neither is NULL, and the caller promised that both may be written.
    unsafe {
        write(signature_out, CRYPT_INTEGER_BLOB { cbData: length, pbData: room.memory }).map_err(Answer::of)?;
        write(signer_out, leaf.0).map_err(Answer::of)?;
    }
    // Both are the caller's from here on, and what was added stays.
    let _ = (ManuallyDrop::new(leaf), ManuallyDrop::new(room));
    added.keep();
    Ok(())
}

/// The gate that C_Initialize has made, else one that the first call makes and that stays, since nobody says when it is
/// over.
fn without_initialize() -> Result<Current, Answer> {
    static GATE: Mutex<Option<Current>> = Mutex::new(None);
    if let Some(gate) = life::current() {
        return Ok(gate);
    }
    let mut known = GATE.lock();
    if let Some(gate) = &*known {
        return Ok(Arc::clone(gate));
    }
    let built = life::build().map_err(|line| {
        life::say(&line);
        Answer::NotConfigured
    })?;
    let gate = Arc::new(built);
    *known = Some(Arc::clone(&gate));
    Ok(gate)
}

fn wrong(line: &str) -> Answer {
    life::say(line);
    Answer::BadArgument
}

/// A copy of what a blob holds; none for NULL.
///
/// # Safety
/// `blob` is NULL or readable, and what it points at has the length it says.
unsafe fn blob(blob: *const CRYPT_INTEGER_BLOB) -> Result<Option<Vec<u8>>, Answer> {
    if blob.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, promised by the caller.
    let CRYPT_INTEGER_BLOB { cbData: length, pbData: content } = unsafe { read(blob) }.map_err(Answer::of)?;
    if content.is_null() && length == 0 {
        return Ok(None);
    }
    // SAFETY: promised by the caller.
    unsafe { bytes(content, length, "the metadata of /dmdf") }.map(Some)
}

/// A copy. What is longer than metadata may be is not read; no digest is as long.
///
/// # Safety
/// `pointer` is NULL or readable for `length` bytes.
unsafe fn bytes(pointer: *const u8, length: u32, what: &str) -> Result<Vec<u8>, Answer> {
    if usize::try_from(length).is_ok_and(|length| length > MAX_METADATA_SIZE) {
        return Err(wrong(&format!(
            "signtool: {what} has {length} bytes, and at most {MAX_METADATA_SIZE} bytes are read"
        )));
    }
    // SAFETY: promised by the caller.
    let bytes = unsafe { Bytes::new(pointer, length) };
    bytes
        .map(|bytes| bytes.to_vec())
        .map_err(|_| wrong(&format!("signtool: the pointer to {what} is NULL, or no memory is so long")))
}

/// SHA-256 of the file behind a handle; none where there is no handle, or none that can be read, which is said.
///
/// # Safety
/// `file` is NULL, INVALID_HANDLE_VALUE or a handle of the caller's that is open for the length of the call.
unsafe fn shown(gate: &Gate, file: HANDLE) -> Option<[u8; 32]> {
    if file.is_null() || file == INVALID_HANDLE_VALUE {
        return None;
    }
    // SAFETY: a handle. A pipe or a console would make us wait for somebody to write.
    let hashed = match unsafe { GetFileType(file) } {
        FILE_TYPE_DISK => {
            // SAFETY: open for the length of the call; it is the caller's to close, so it is never dropped.
            let mut file = ManuallyDrop::new(unsafe { File::from_raw_handle(file) });
            sha256_of(&mut *file)
        }
        _ => Err(io::Error::other("it is no file on a disk")),
    };
    hashed.inspect_err(|error| gate.say_unreadable_file(error)).ok()
}

/// What the caller is given, ours until it is handed over.
struct Made {
    certificates: Vec<Certificate>,
    room: Room,
    added: Added,
}

impl Made {
    /// # Safety
    /// `store` is open for as long as this lives.
    unsafe fn of(expected: Expected<'_>, store: HCERTSTORE) -> Result<Made, Answer> {
        let certificates: Vec<_> =
            expected.certificates.iter().map(|der| Certificate::of(der)).collect::<Result<_, _>>()?;
        let room = Room::of(expected.most)?;
        // SAFETY: promised by the caller.
        let added = unsafe { Added::to(store, &certificates) }?;
        Ok(Made { certificates, room, added })
    }
}

/// A certificate context of Windows.
struct Certificate(*const CERT_CONTEXT);

impl Certificate {
    fn of(der: &[u8]) -> Result<Certificate, Answer> {
        let length = u32::try_from(der.len()).map_err(|_| Answer::NoMemory)?;
        // SAFETY: `der` has `length` bytes, which are copied.
        let context = unsafe { CertCreateCertificateContext(ENCODING, der.as_ptr(), length) };
        if context.is_null() {
            life::say("signtool: Windows can not read a certificate of the signer. Next: signgate policy lint");
            return Err(Answer::NoMemory);
        }
        Ok(Certificate(context))
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: a context of ours that was not handed over.
        let _ = unsafe { CertFreeCertificateContext(self.0) };
    }
}

/// Memory of the process heap, which is where the caller frees it.
struct Room {
    memory: *mut u8,
    length: usize,
}

impl Room {
    fn of(length: usize) -> Result<Room, Answer> {
        // SAFETY: the process heap is always there.
        let memory = unsafe { HeapAlloc(GetProcessHeap(), 0, length) }.cast::<u8>();
        if memory.is_null() {
            return Err(Answer::NoMemory);
        }
        Ok(Room { memory, length })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: made by `of` and not handed over.
        let _ = unsafe { HeapFree(GetProcessHeap(), 0, self.memory.cast()) };
    }
}

/// Certificates that were put into the caller's store, taken out again unless they are kept.
struct Added(Vec<*const CERT_CONTEXT>);

impl Added {
    /// # Safety
    /// `store` is an open store.
    unsafe fn to(store: HCERTSTORE, certificates: &[Certificate]) -> Result<Added, Answer> {
        let mut added = Added(Vec::with_capacity(certificates.len()));
        for Certificate(context) in certificates {
            // SAFETY: a store by the caller's promise, a context of ours; what is found is freed.
            let known = unsafe {
                CertFindCertificateInStore(store, ENCODING, 0, CERT_FIND_EXISTING, context.cast(), ptr::null())
            };
            if !known.is_null() {
                // One that is there already is not ours to take out again.
                drop(Certificate(known));
                continue;
            }
            let mut copy = ptr::null_mut();
            // SAFETY: as above, and a place for the store's own context.
            let done = unsafe { CertAddCertificateContextToStore(store, *context, CERT_STORE_ADD_NEW, &raw mut copy) };
            if done == 0 {
                life::say("signtool: a certificate can not be put into the store that signtool gave");
                return Err(Answer::NoMemory);
            }
            added.0.push(copy.cast_const());
        }
        Ok(added)
    }

    fn keep(mut self) {
        for context in self.0.drain(..) {
            // SAFETY: the store has its own; this is what it gave us to look at.
            let _ = unsafe { CertFreeCertificateContext(context) };
        }
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        for context in self.0.drain(..) {
            // SAFETY: a context that the store gave us; the call frees it, whatever it answers.
            let _ = unsafe { CertDeleteCertificateFromStore(context) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_e_fail() {
        assert_eq!(answer(|| panic!("deliberate")).cast_unsigned(), 0x8000_4005);
        assert_eq!(answer(|| Ok(())), 0);
    }
}
