//! A program for Windows or UEFI to sign, byte by byte, so that no compiler and no network is needed.

/// The subsystem of a program for Windows' console.
pub const CONSOLE: u16 = 3;

/// Headers and 0x200 bytes of code, as a linker lays them out (Microsoft's "PE Format").
pub fn portable_executable(subsystem: u16) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    // COFF header: AMD64, one section, 240 bytes of optional header, executable.
    put(0x44, &[0x64, 0x86, 1, 0]);
    put(0x54, &[240, 0, 0x22, 0]);
    // Optional header: PE32+, entry point, image base, alignments, versions, sizes, subsystem, 16 directories.
    put(0x58, &[0x0b, 0x02]);
    put(0x68, &0x1000_u32.to_le_bytes());
    put(0x70, &0x1_4000_0000_u64.to_le_bytes());
    put(0x78, &0x1000_u32.to_le_bytes());
    put(0x7c, &0x200_u32.to_le_bytes());
    put(0x88, &6_u16.to_le_bytes());
    put(0x90, &0x2000_u32.to_le_bytes());
    put(0x94, &0x200_u32.to_le_bytes());
    put(0x9c, &subsystem.to_le_bytes());
    put(0xc4, &16_u32.to_le_bytes());
    // The section table and the code: `ret`.
    put(0x148, b".text");
    put(0x150, &[1, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0]);
    put(0x16c, &0x6000_0020_u32.to_le_bytes());
    put(0x200, &[0xc3]);
    file
}
