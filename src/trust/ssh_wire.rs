//! The wire format of SSH (RFC 4251, section 5): length-prefixed strings and unsigned integers, read without copies.
//! Reading is exact: a field that runs over the end, or bytes left at the end, are errors, never guessed at.
//! Read next: `ssh_key.rs`, `sshsig.rs`.

/// A reader over one SSH structure.
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

/// The structure ends before the field does, or goes on after its last field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WireError;

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Wire<'a> {
        Wire { rest: bytes }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        let (&byte, rest) = self.rest.split_first().ok_or(WireError)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(WireError)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.u32()?).map_err(|_| WireError)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.string()?).map_err(|_| WireError)
    }

    /// A positive `mpint` in its one shortest form, without the sign byte.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], WireError> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
            bytes @ [first, ..] if (1..0x80).contains(first) => Ok(bytes),
            _ => Err(WireError),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError) }
    }
}

/// Appends a length-prefixed string. A length that does not fit 32 bits can not come up: everything read is capped.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_runs_over_the_end_is_an_error() {
        assert_eq!(Wire::new(&[0, 0, 0, 2, 1]).string(), Err(WireError));
        assert_eq!(Wire::new(&[0xff; 4]).string(), Err(WireError));
        assert_eq!(Wire::new(&[0, 0, 0]).u32(), Err(WireError));
    }

    #[test]
    fn an_integer_has_one_spelling_only() {
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            put_string(&mut out, bytes);
            Wire::new(&out).positive().map(<[u8]>::to_vec)
        };
        assert_eq!(read(&[0x7f]), Ok(vec![0x7f]));
        assert_eq!(read(&[0, 0x80]), Ok(vec![0x80]));
        for other in [&[][..], &[0], &[0x80], &[0, 0x7f], &[0, 0, 0x80]] {
            assert_eq!(read(other), Err(WireError), "{other:?}");
        }
    }

    #[test]
    fn bytes_left_at_the_end_are_an_error() {
        let mut wire = Wire::new(&[1, 2]);
        assert_eq!(wire.byte(), Ok(1));
        assert_eq!(wire.end(), Err(WireError));
    }
}
