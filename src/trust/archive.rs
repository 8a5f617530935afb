//! The bundle: a TUF repository in one USTAR archive, so that an update is one atomic rename and `tar xf` gives plain
//! files. The reader borrows from the archive and copies nothing; it takes regular files with known names only.
//! Nothing here is believed yet. Source: POSIX.1-2017, pax, "ustar Interchange Format". Read next: `verify.rs`.

use super::error::TrustError;

/// The largest policy that is read, in bytes.
pub const MAXIMUM_POLICY: usize = 64 * 1024 * 1024;
/// The largest metadata file that is read, in bytes.
pub const MAXIMUM_METADATA: usize = 1024 * 1024;
/// The most roots a chain may have.
pub const MAXIMUM_ROOTS: usize = 1024;
/// The largest bundle that is read, in bytes: look at the file's size before reading it. Leaves 32 MiB for metadata.
pub const MAXIMUM_BUNDLE: usize = 96 * 1024 * 1024;

const BLOCK: usize = 512;
/// GNU tar fills its last record of 20 blocks with zeros.
const MAXIMUM_TAIL: usize = 20 * BLOCK;

/// The files of a bundle, by their meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archive<'a> {
    /// `metadata/N.root.json`, ascending by version as the archive has them.
    pub roots: Vec<(u64, &'a [u8])>,
    /// `metadata/timestamp.json`.
    pub timestamp: &'a [u8],
    /// `metadata/snapshot.json`, or with its version in front where snapshots are consistent.
    pub snapshot: (Option<u64>, &'a [u8]),
    /// `metadata/targets.json`, likewise.
    pub targets: (Option<u64>, &'a [u8]),
    /// `targets/policy.json`, or with its hash in front where snapshots are consistent.
    pub policy: (Option<String>, &'a [u8]),
}

/// What a name in the archive stands for.
#[derive(PartialEq, Eq, Debug)]
enum Name {
    Root(u64),
    Timestamp,
    Snapshot(Option<u64>),
    Targets(Option<u64>),
    Policy(Option<String>),
}

impl Name {
    fn parse(name: &str) -> Option<Name> {
        if let Some(file) = name.strip_prefix("targets/") {
            return match file.strip_suffix("policy.json")? {
                "" => Some(Name::Policy(None)),
                prefix => {
                    let hash = prefix.strip_suffix('.')?;
                    let is_hash = matches!(hash.len(), 64 | 128)
                        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                    is_hash.then(|| Name::Policy(Some(hash.to_owned())))
                }
            };
        }
        let file = name.strip_prefix("metadata/")?.strip_suffix(".json")?;
        let (version, role) = match file.split_once('.') {
            Some((version, role)) => (Some(version_number(version)?), role),
            None => (None, file),
        };
        match (role, version) {
            ("root", Some(version)) => Some(Name::Root(version)),
            ("timestamp", None) => Some(Name::Timestamp),
            ("snapshot", version) => Some(Name::Snapshot(version)),
            ("targets", version) => Some(Name::Targets(version)),
            _ => None,
        }
    }

    const fn limit(&self) -> usize {
        match self {
            Name::Policy(_) => MAXIMUM_POLICY,
            Name::Root(_) | Name::Timestamp | Name::Snapshot(_) | Name::Targets(_) => MAXIMUM_METADATA,
        }
    }
}

/// A version in the one spelling that file names use.
fn version_number(text: &str) -> Option<u64> {
    let version: u64 = text.parse().ok()?;
    (version.to_string() == text).then_some(version)
}

/// Whether the bytes begin as an archive does; other bytes may be a policy without one.
#[must_use]
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.get(field::MAGIC) == Some(MAGIC)
}

impl<'a> Archive<'a> {
    /// Finds the files in the archive.
    ///
    /// # Errors
    /// Not a USTAR archive of regular files, a name that has no meaning here or stands twice, a file over its limit.
    pub fn read(bytes: &'a [u8]) -> Result<Archive<'a>, TrustError> {
        if bytes.len() > MAXIMUM_BUNDLE {
            return Err(too_large("bundle", bytes.len(), MAXIMUM_BUNDLE));
        }
        let mut roots = Vec::new();
        let (mut timestamp, mut snapshot, mut targets, mut policy) = (None, None, None, None);
        let mut rest = bytes;
        loop {
            let offset = bytes.len().saturating_sub(rest.len());
            let Some((header, after)) = rest.split_first_chunk::<BLOCK>() else {
                return Err(TrustError::Archive { offset, what: "the archive ends in the middle".to_owned() });
            };
            if header.iter().all(|byte| *byte == 0) {
                end(after).map_err(|what| TrustError::Archive { offset, what: what.to_owned() })?;
                break;
            }
            let (path, size) =
                read_header(header).map_err(|what| TrustError::Archive { offset, what: what.to_owned() })?;
            let Some(name) = Name::parse(path) else {
                let what = format!("a file `{}` that has no meaning here", path.escape_debug());
                return Err(TrustError::Archive { offset, what });
            };
            if size > name.limit() {
                return Err(too_large(path, size, name.limit()));
            }
            let (content, after) = split_padded(after, size).ok_or_else(|| TrustError::Archive {
                offset,
                what: format!("`{path}` is cut off or not padded with zeros"),
            })?;
            rest = after;
            let is_first = match name {
                Name::Root(version) => {
                    roots.push((version, content));
                    roots.len() <= MAXIMUM_ROOTS
                }
                Name::Timestamp => timestamp.replace(content).is_none(),
                Name::Snapshot(version) => snapshot.replace((version, content)).is_none(),
                Name::Targets(version) => targets.replace((version, content)).is_none(),
                Name::Policy(hash) => policy.replace((hash, content)).is_none(),
            };
            if !is_first {
                return Err(TrustError::Archive { offset, what: format!("`{path}` is one too many") });
            }
        }
        let missing = |file: &str| TrustError::Missing { file: file.to_owned() };
        if roots.is_empty() {
            return Err(missing("metadata/N.root.json"));
        }
        Ok(Archive {
            roots,
            timestamp: timestamp.ok_or_else(|| missing("metadata/timestamp.json"))?,
            snapshot: snapshot.ok_or_else(|| missing("metadata/snapshot.json"))?,
            targets: targets.ok_or_else(|| missing("metadata/targets.json"))?,
            policy: policy.ok_or_else(|| missing("targets/policy.json"))?,
        })
    }

    /// The archive of these files; the same files give the same bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (version, content) in &self.roots {
            append(&mut out, &format!("metadata/{version}.root.json"), content);
        }
        append(&mut out, "metadata/timestamp.json", self.timestamp);
        append(&mut out, &self.snapshot_name(), self.snapshot.1);
        append(&mut out, &self.targets_name(), self.targets.1);
        append(&mut out, &self.policy_name(), self.policy.1);
        out.resize(out.len().saturating_add(BLOCK.saturating_mul(2)), 0);
        out
    }

    pub(super) fn snapshot_name(&self) -> String {
        versioned("snapshot", self.snapshot.0)
    }

    pub(super) fn targets_name(&self) -> String {
        versioned("targets", self.targets.0)
    }

    /// The policy's name in the archive.
    #[must_use]
    pub fn policy_name(&self) -> String {
        match &self.policy.0 {
            Some(hash) => format!("targets/{hash}.policy.json"),
            None => "targets/policy.json".to_owned(),
        }
    }
}

fn versioned(role: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("metadata/{version}.{role}.json"),
        None => format!("metadata/{role}.json"),
    }
}

fn too_large(file: &str, size: usize, limit: usize) -> TrustError {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    TrustError::TooLarge { file: file.to_owned(), size: wide(size), limit: wide(limit) }
}

/// Fields of a header, as offset and length (POSIX.1-2017, table 4-14).
mod field {
    pub const NAME: std::ops::Range<usize> = 0..100;
    pub const MODE: std::ops::Range<usize> = 100..108;
    pub const UID: std::ops::Range<usize> = 108..116;
    pub const GID: std::ops::Range<usize> = 116..124;
    pub const SIZE: std::ops::Range<usize> = 124..136;
    pub const MTIME: std::ops::Range<usize> = 136..148;
    pub const CHECKSUM: std::ops::Range<usize> = 148..156;
    pub const TYPE: std::ops::Range<usize> = 156..157;
    pub const LINK: std::ops::Range<usize> = 157..257;
    pub const MAGIC: std::ops::Range<usize> = 257..265;
    pub const PREFIX: std::ops::Range<usize> = 345..500;
}

const MAGIC: &[u8] = b"ustar\x0000";

fn read_header(header: &[u8; BLOCK]) -> Result<(&str, usize), &'static str> {
    let get = |range: std::ops::Range<usize>| header.get(range).unwrap_or_default();
    if get(field::MAGIC) != MAGIC {
        return Err("something else than a USTAR header");
    }
    if octal(get(field::CHECKSUM)) != Some(checksum(header)) {
        return Err("a header with a wrong checksum");
    }
    if get(field::TYPE) != b"0" || get(field::LINK).iter().any(|byte| *byte != 0) {
        return Err("something else than a regular file");
    }
    if get(field::PREFIX).iter().any(|byte| *byte != 0) {
        return Err("a name that is too long");
    }
    let name = get(field::NAME);
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let (name, padding) = name.split_at(length);
    if padding.iter().any(|byte| *byte != 0) {
        return Err("a name with bytes after its end");
    }
    let name = std::str::from_utf8(name).map_err(|_| "a name that is not UTF-8")?;
    let size = octal(get(field::SIZE)).ok_or("a size that is not octal")?;
    Ok((name, usize::try_from(size).map_err(|_| "a size beyond this machine")?))
}

/// Octal digits, then zero bytes or spaces.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(field.len());
    let (digits, padding) = field.split_at(digits);
    if digits.is_empty() || padding.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit.wrapping_sub(b'0'))),
        _ => None,
    })
}

/// The sum of all bytes, the checksum's own field read as spaces.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let sum = |range: std::ops::Range<usize>| -> u64 {
        header.get(range).unwrap_or_default().iter().map(|byte| u64::from(*byte)).sum()
    };
    let spaces = 8 * 32;
    sum(0..field::CHECKSUM.start).saturating_add(spaces).saturating_add(sum(field::CHECKSUM.end..BLOCK))
}

fn split_padded(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (content, after) = bytes.split_at_checked(size)?;
    let padding = size.checked_next_multiple_of(BLOCK)?.checked_sub(size)?;
    let (padding, after) = after.split_at_checked(padding)?;
    padding.iter().all(|byte| *byte == 0).then_some((content, after))
}

/// After the first zero block: a second one, and no more than the rest of a record, all zero.
fn end(after: &[u8]) -> Result<(), &'static str> {
    if after.len() < BLOCK {
        return Err("the archive ends in the middle");
    }
    if after.len() > MAXIMUM_TAIL || after.iter().any(|byte| *byte != 0) {
        return Err("bytes after the end of the archive");
    }
    Ok(())
}

fn append(out: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut header = [0_u8; BLOCK];
    let mut put = |range: std::ops::Range<usize>, bytes: &[u8]| {
        for (slot, byte) in header.iter_mut().skip(range.start).take(range.len()).zip(bytes) {
            *slot = *byte;
        }
    };
    put(field::NAME, name.as_bytes());
    put(field::MODE, b"0000644");
    put(field::UID, b"0000000");
    put(field::GID, b"0000000");
    put(field::SIZE, format!("{:011o}", content.len()).as_bytes());
    put(field::MTIME, b"00000000000");
    put(field::TYPE, b"0");
    put(field::MAGIC, MAGIC);
    let sum = checksum(&header);
    for (slot, byte) in header.iter_mut().skip(field::CHECKSUM.start).zip(format!("{sum:06o}\0 ").bytes()) {
        *slot = byte;
    }
    out.extend_from_slice(&header);
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        Archive {
            roots: vec![(1, b"one".as_slice()), (2, &[7; 512])],
            timestamp: b"{}",
            snapshot: (None, b"snap"),
            targets: (Some(12), b""),
            policy: (Some("ab".repeat(32)), &[9; 1500]),
        }
        .write()
    }

    /// Changes a header's field and repairs its checksum.
    fn edited(archive: &[u8], header: usize, range: std::ops::Range<usize>, bytes: &[u8]) -> Vec<u8> {
        let mut out = archive.to_vec();
        out[header + range.start..header + range.start + bytes.len()].copy_from_slice(bytes);
        let sum = checksum(out[header..header + BLOCK].try_into().unwrap());
        out[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out
    }

    fn refusal(bytes: &[u8]) -> String {
        Archive::read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_reads_back_the_same_and_in_place() {
        let bytes = sample();
        let archive = Archive::read(&bytes).unwrap();
        assert_eq!(archive.roots, vec![(1, &b"one"[..]), (2, &[7; 512][..])]);
        assert_eq!(archive.policy, (Some("ab".repeat(32)), &[9; 1500][..]));
        assert_eq!(archive.targets, (Some(12), &b""[..]));
        assert_eq!(archive.write(), bytes);
        assert!(is_archive(&bytes) && !is_archive(b"{}") && !is_archive(&[b' '; 600]));
        assert!(bytes.as_ptr_range().contains(&archive.policy.1.as_ptr()));
    }

    #[test]
    fn a_tail_of_zeros_as_gnu_tar_leaves_it_is_accepted_and_nothing_more() {
        let mut bytes = sample();
        bytes.resize(bytes.len().next_multiple_of(MAXIMUM_TAIL), 0);
        assert!(Archive::read(&bytes).is_ok());
        *bytes.last_mut().unwrap() = 1;
        assert!(refusal(&bytes).contains("after the end"));
        bytes.resize(bytes.len() + MAXIMUM_TAIL, 0);
        assert!(refusal(&bytes).contains("after the end"));
    }

    #[test]
    fn links_and_folders_and_other_names_are_refused() {
        let bytes = sample();
        for kind in [b"1", b"2", b"5", b"L", b"x", b"\0"] {
            assert!(refusal(&edited(&bytes, 0, field::TYPE, kind)).contains("regular file"));
        }
        for name in [
            "metadata/0001.root.json\0",
            "metadata/+1.root.json\0",
            "../metadata/1.root.json\0",
            "/metadata/1.root.json\0",
            "metadata/1.timestamp.json\0",
            "metadata/root.json\0",
            "metadata/evil.json\0",
            "targets/policy.json.json\0",
            "targets/zz.policy.json\0",
            "\0",
        ] {
            let padded = [name.as_bytes(), &[0; 100]].concat();
            assert!(refusal(&edited(&bytes, 0, field::NAME, &padded[..100])).contains("no meaning"), "{name}");
        }
        assert!(refusal(&edited(&bytes, 0, field::PREFIX, b"metadata")).contains("too long"));
        assert!(refusal(&edited(&bytes, 0, field::MAGIC, b"ustar  \0")).contains("USTAR"));
    }

    #[test]
    fn sizes_are_limited_before_anything_is_read() {
        let bytes = sample();
        assert!(refusal(&edited(&bytes, 0, field::SIZE, b"00004000001")).contains("more than the 1048576"));
        assert!(refusal(&edited(&bytes, 0, field::SIZE, b"77777777777")).contains("more than"));
        assert!(refusal(&edited(&bytes, 0, field::SIZE, b"00000002000")).contains("USTAR"));
        assert!(refusal(&edited(&bytes, 0, field::SIZE, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])).contains("octal"));
        let huge = vec![0; MAXIMUM_BUNDLE + 1];
        assert!(refusal(&huge).contains("`bundle` has"));
    }

    #[test]
    fn a_file_twice_or_not_at_all_is_refused() {
        let bytes = sample();
        let timestamp = 4 * BLOCK;
        let renamed = edited(&bytes, timestamp, field::NAME, b"metadata/7.root.json\0\0\0\0\0");
        assert_eq!(refusal(&renamed), "the bundle lacks `metadata/timestamp.json`");
        let twice = [&bytes[timestamp..timestamp + 2 * BLOCK], &bytes].concat();
        assert!(refusal(&twice).contains("one too many"));
        let mut many = Vec::new();
        for version in 1..=1025 {
            append(&mut many, &format!("metadata/{version}.root.json"), b"");
        }
        many.extend_from_slice(&bytes[timestamp..]);
        assert!(refusal(&many).contains("`metadata/1025.root.json` is one too many"));
    }

    proptest! {
        #[test]
        fn no_cut_archive_is_taken_for_a_whole_one(keep in any::<prop::sample::Index>()) {
            let bytes = sample();
            prop_assert!(Archive::read(&bytes[..keep.index(bytes.len())]).is_err());
        }

        #[test]
        fn no_bytes_make_the_reader_fail_otherwise_than_with_an_error(
            position in any::<prop::sample::Index>(), change in prop::collection::vec(any::<u8>(), 1..40)
        ) {
            let mut bytes = sample();
            let position = position.index(bytes.len());
            for (slot, byte) in bytes[position..].iter_mut().zip(change) {
                *slot = byte;
            }
            if let Ok(archive) = Archive::read(&bytes) {
                prop_assert_eq!(archive.roots.len(), 2);
            }
        }
    }
}
