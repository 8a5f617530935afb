//! Small files to sign, byte by byte, so that no compiler and no network is needed: a Windows program, the same for UEFI,
//! an ELF object in the place of a kernel module, and the manifest of an Android package.

use crate::portable_executable::{CONSOLE, portable_executable};

/// A program for Windows' console.
pub fn windows() -> Vec<u8> {
    portable_executable(CONSOLE)
}

/// An application for UEFI.
pub fn efi() -> Vec<u8> {
    portable_executable(10)
}

/// The header of a relocatable ELF object for AMD64 and a section without a name.
pub fn kernel_module() -> Vec<u8> {
    let mut file = vec![0; 64 + 64];
    file[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x3e, 0]);
    file[20] = 1;
    file[40] = 64;
    file[52..62].copy_from_slice(&[64, 0, 0, 0, 0, 0, 64, 0, 1, 0]);
    file
}

/// `<manifest/>` in Android's binary XML: a pool with one string in UTF-16, the element's beginning and its end.
pub fn android_manifest() -> Vec<u8> {
    let chunk = |kind: u16, header: u16, rest: &[u8]| {
        let size = 8 + u32::try_from(rest.len()).expect("a short chunk");
        [&kind.to_le_bytes()[..], &header.to_le_bytes(), &size.to_le_bytes(), rest].concat()
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let name: Vec<u8> =
        [8_u16].into_iter().chain("manifest".encode_utf16()).chain([0]).flat_map(u16::to_le_bytes).collect();
    let pool = chunk(0x0001, 28, &[words(&[1, 0, 0, 32, 0, 0]), name].concat());
    let none = u32::MAX;
    // Line, comment, namespace, name; then place and size of attributes, of which there are none.
    let begin = chunk(0x0102, 16, &words(&[1, none, none, 0, 20 << 16 | 20, 0, 0]));
    let end = chunk(0x0103, 16, &words(&[1, none, none, 0]));
    chunk(0x0003, 8, &[pool, begin, end].concat())
}
