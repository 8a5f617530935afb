//! The bundle's container, against a reader of tar that knows only names, sizes and blocks. What is read has exactly those
//! files, borrowed in place; and written again it reads back the same.

use signgate_pkcs11::trust::archive::{Archive, is_archive};

const BLOCK: usize = 512;

pub fn run(data: &[u8]) -> bool {
    let archive = match Archive::read(data) {
        Ok(archive) => archive,
        Err(error) => {
            super::text::one_line(&error.to_string());
            return false;
        }
    };
    assert!(is_archive(data));
    let mut files: Vec<(String, &[u8])> =
        archive.roots.iter().map(|(version, bytes)| (format!("metadata/{version}.root.json"), *bytes)).collect();
    let versioned = |role: &str, version: Option<u64>| match version {
        Some(version) => format!("metadata/{version}.{role}.json"),
        None => format!("metadata/{role}.json"),
    };
    files.push(("metadata/timestamp.json".to_owned(), archive.timestamp));
    files.push((versioned("snapshot", archive.snapshot.0), archive.snapshot.1));
    files.push((versioned("targets", archive.targets.0), archive.targets.1));
    files.push((archive.policy_name(), archive.policy.1));
    let mut found = plainly(data);
    files.sort();
    found.sort();
    assert_eq!(files, found);
    for (_, bytes) in &files {
        assert!(bytes.is_empty() || data.as_ptr_range().contains(&bytes.as_ptr()), "not in place");
    }
    let written = archive.write();
    let again = Archive::read(&written).expect("what was written");
    assert_eq!((again.roots, again.timestamp, again.snapshot), (archive.roots, archive.timestamp, archive.snapshot));
    assert_eq!((again.targets, again.policy), (archive.targets, archive.policy));
    true
}

/// Name and content of each entry, without any check.
fn plainly(mut data: &[u8]) -> Vec<(String, &[u8])> {
    let mut files = Vec::new();
    while data.len() >= BLOCK && data[0] != 0 {
        let (header, rest) = data.split_at(BLOCK);
        let until_nul =
            |field: &[u8]| String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap()).into_owned();
        let name = until_nul(&header[..100]);
        let digits: String = until_nul(&header[124..136]).trim().to_owned();
        let size = usize::from_str_radix(&digits, 8).expect("a size in octal digits");
        files.push((name, &rest[..size]));
        data = &rest[size.next_multiple_of(BLOCK)..];
    }
    files
}
