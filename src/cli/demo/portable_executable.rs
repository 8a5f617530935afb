//! A Windows program to sign: the smallest honest PE32+ console executable, the same bytes every time. It imports
//! nothing and returns 0. Source: Microsoft's "PE Format", the sections named below.

/// File and section alignment of the file, and address of the code in memory.
const FILE_ALIGNMENT: u32 = 0x200;
const SECTION_ALIGNMENT: u32 = 0x1000;

/// `xor eax, eax` and `ret`.
const CODE: [u8; 3] = [0x31, 0xc0, 0xc3];

/// The file.
pub fn console_program() -> Vec<u8> {
    let mut file = dos_header();
    file.extend(*b"PE\0\0");
    file.extend(coff_header());
    file.extend(optional_header());
    file.extend(text_section());
    file.resize(to_length(FILE_ALIGNMENT), 0);
    file.extend(CODE);
    file.resize(to_length(FILE_ALIGNMENT).saturating_mul(2), 0);
    file
}

/// "MS-DOS Stub": only the magic number and, at 0x3c, where the signature `PE` stands.
fn dos_header() -> Vec<u8> {
    let mut header = b"MZ".to_vec();
    header.resize(0x3c, 0);
    header.extend(0x40_u32.to_le_bytes());
    header
}

/// "COFF File Header".
fn coff_header() -> Vec<u8> {
    const AMD64: u16 = 0x8664;
    const RELOCS_STRIPPED_EXECUTABLE_LARGE_ADDRESS_AWARE: u16 = 0x0023;
    let mut header = Vec::new();
    words(&mut header, &[AMD64, 1]);
    // No date, so that the file is the same every time; no symbols.
    longs(&mut header, &[0, 0, 0]);
    words(&mut header, &[240, RELOCS_STRIPPED_EXECUTABLE_LARGE_ADDRESS_AWARE]);
    header
}

/// "Optional Header", in the form for PE32+: standard fields, Windows fields, 16 empty data directories.
fn optional_header() -> Vec<u8> {
    const PE32_PLUS: u16 = 0x20b;
    const CONSOLE: u16 = 3;
    const NX_COMPATIBLE: u16 = 0x0100;
    const IMAGE_BASE: u64 = 0x1_4000_0000;
    let mut header = Vec::new();
    words(&mut header, &[PE32_PLUS, 0]);
    // Sizes of code and data, entry point, base of code.
    longs(&mut header, &[FILE_ALIGNMENT, 0, 0, SECTION_ALIGNMENT, SECTION_ALIGNMENT]);
    header.extend(IMAGE_BASE.to_le_bytes());
    longs(&mut header, &[SECTION_ALIGNMENT, FILE_ALIGNMENT]);
    // Versions of the operating system, the image and the subsystem: Windows Vista is the first for 64-bit PE files.
    words(&mut header, &[6, 0, 0, 0, 6, 0]);
    // Reserved, size of the image, size of the headers, checksum (the signing tool fills it in).
    longs(&mut header, &[0, SECTION_ALIGNMENT.saturating_mul(2), FILE_ALIGNMENT, 0]);
    words(&mut header, &[CONSOLE, NX_COMPATIBLE]);
    // Stack and heap: reserved, committed.
    for size in [0x10_0000_u64, 0x1000, 0x10_0000, 0x1000] {
        header.extend(size.to_le_bytes());
    }
    longs(&mut header, &[0, 16]);
    header.extend([0; 16 * 8]);
    header
}

/// "Section Table": one section, `.text`.
fn text_section() -> Vec<u8> {
    const CODE_EXECUTE_READ: u32 = 0x6000_0020;
    let mut header = b".text\0\0\0".to_vec();
    longs(&mut header, &[3, SECTION_ALIGNMENT, FILE_ALIGNMENT, FILE_ALIGNMENT, 0, 0, 0, CODE_EXECUTE_READ]);
    header
}

fn words(out: &mut Vec<u8>, values: &[u16]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn longs(out: &mut Vec<u8>, values: &[u32]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn to_length(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_stand_where_the_format_wants_them() {
        let file = console_program();
        assert_eq!((file.len(), &file[..2], &file[0x40..0x44]), (0x400, &b"MZ"[..], &b"PE\0\0"[..]));
        let optional = 0x40 + 4 + 20;
        assert_eq!(file[optional..optional + 2], [0x0b, 0x02], "PE32+");
        assert_eq!(file[optional + 240..optional + 245], *b".text", "the section table follows 240 bytes of header");
        assert_eq!(file[0x200..0x203], CODE);
    }
}
