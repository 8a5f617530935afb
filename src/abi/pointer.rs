//! All raw memory of callers. Every pointer is checked for NULL and for a length that can exist; reads and writes
//! bear any alignment (and the packed structures of Windows); data is copied, never borrowed, because another
//! thread of the caller may change it during the call. Read next: `sign.rs`.

use crate::gate::{CallerBytes, Error};
use cryptoki_sys as ck;

/// The bytes a caller points at; they are looked at only through copies.
pub(super) struct Bytes {
    pointer: *const u8,
    length: usize,
}

impl Bytes {
    /// # Safety
    /// `pointer` is NULL or readable for `length` bytes until the call from C returns.
    pub(super) unsafe fn new(pointer: *const u8, length: ck::CK_ULONG) -> Result<Bytes, Error> {
        let length = checked_length::<u8>(pointer, length)?;
        Ok(Bytes { pointer, length })
    }

    /// A copy of all bytes.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.length];
        self.copy(0, &mut copy);
        copy
    }
}

impl CallerBytes for Bytes {
    fn len(&self) -> usize {
        self.length
    }

    fn copy(&self, offset: usize, into: &mut [u8]) {
        let available = self.length.saturating_sub(offset);
        let count = available.min(into.len());
        if count == 0 {
            return;
        }
        // SAFETY: `new` promised `length` readable bytes and offset + count <= length; `into` is our own memory.
        unsafe { std::ptr::copy_nonoverlapping(self.pointer.add(offset), into.as_mut_ptr(), count) }
    }
}

/// Reads one value.
///
/// # Safety
/// `pointer` is NULL or readable for one `T`.
pub(super) unsafe fn read<T: Copy>(pointer: *const T) -> Result<T, Error> {
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: not NULL, readable by the caller's promise; no alignment is assumed.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Writes one value.
///
/// # Safety
/// `pointer` is NULL or writable for one `T`.
pub(super) unsafe fn write<T: Copy>(pointer: *mut T, value: T) -> Result<(), Error> {
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: not NULL, writable by the caller's promise; no alignment is assumed.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}

/// Copies an array of values, refusing more than `most`.
///
/// # Safety
/// `pointer` is NULL or readable for `count` values.
pub(super) unsafe fn read_array<T: Copy>(pointer: *const T, count: ck::CK_ULONG, most: usize) -> Result<Vec<T>, Error> {
    let count = checked_length(pointer, count)?;
    if count > most {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: `checked_length` refused NULL, and the caller promises `count` readable values.
    Ok((0..count).map(|index| unsafe { pointer.add(index).read_unaligned() }).collect())
}

/// Writes all values. The caller has compared `values.len()` with the room there is.
///
/// # Safety
/// `pointer` is NULL or writable for `values.len()` values.
pub(super) unsafe fn write_array<T: Copy>(pointer: *mut T, values: &[T]) -> Result<(), Error> {
    if values.is_empty() {
        return Ok(());
    }
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    for (index, value) in values.iter().enumerate() {
        // SAFETY: not NULL, writable for all values by the caller's promise; no alignment is assumed.
        unsafe { pointer.add(index).write_unaligned(*value) };
    }
    Ok(())
}

/// The convention for a list of variable length (PKCS#11 3.1, section 5.2): with no buffer the count is returned,
/// with too small a buffer the count and BUFFER_TOO_SMALL.
///
/// # Safety
/// `pointer` is NULL or writable for `*count` values; `count` is NULL or readable and writable.
pub(super) unsafe fn write_list<T: Copy>(pointer: *mut T, count: *mut ck::CK_ULONG, values: &[T]) -> Result<(), Error> {
    // SAFETY: promised by the caller.
    let room = unsafe { read(count) }?;
    // SAFETY: `read` found `count` good.
    unsafe { write(count, narrow(values.len())) }?;
    if pointer.is_null() {
        return Ok(());
    }
    if room < narrow(values.len()) {
        return Err(Error::BufferTooSmall);
    }
    // SAFETY: there is room for all values.
    unsafe { write_array(pointer, values) }
}

/// A length as C has it. Lengths of ours always fit.
pub(super) fn narrow(length: usize) -> ck::CK_ULONG {
    ck::CK_ULONG::try_from(length).unwrap_or(ck::CK_ULONG::MAX)
}

fn checked_length<T>(pointer: *const T, count: ck::CK_ULONG) -> Result<usize, Error> {
    // Half of all numbers are lengths that were computed wrongly, CK_UNAVAILABLE_INFORMATION among them. Where CK_ULONG
    // has 32 bits they would fit into memory.
    if count > ck::CK_ULONG::MAX >> 1 {
        return Err(Error::ArgumentsBad);
    }
    let count = usize::try_from(count).map_err(|_| Error::ArgumentsBad)?;
    let bytes = count.checked_mul(size_of::<T>()).ok_or(Error::ArgumentsBad)?;
    let fits = isize::try_from(bytes).is_ok() && pointer.addr().checked_add(bytes).is_some();
    if (pointer.is_null() && count != 0) || !fits {
        return Err(Error::ArgumentsBad);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "the tests call the pointer layer as C does")]
    use super::*;

    #[test]
    fn null_with_a_length_and_lengths_that_can_not_exist_are_bad_arguments() {
        let byte = 7u8;
        for (pointer, length) in
            [(std::ptr::null(), 1), (&raw const byte, ck::CK_ULONG::MAX), (&raw const byte, ck::CK_ULONG::MAX / 2 + 1)]
        {
            // SAFETY: refused before anything is read.
            assert!(matches!(unsafe { Bytes::new(pointer, length) }, Err(Error::ArgumentsBad)));
        }
    }

    #[test]
    fn null_without_a_length_is_an_empty_message() {
        // SAFETY: nothing is read.
        let bytes = unsafe { Bytes::new(std::ptr::null(), 0) };
        assert_eq!(bytes.map(|bytes| bytes.len()).ok(), Some(0));
    }

    #[test]
    fn a_copy_never_reaches_past_the_end() {
        let data = [1u8, 2, 3];
        // SAFETY: `data` outlives the call.
        let bytes = unsafe { Bytes::new(data.as_ptr(), 3) }.ok().unwrap();
        let mut copy = [9u8; 4];
        bytes.copy(1, &mut copy);
        assert_eq!(copy, [2, 3, 9, 9]);
        bytes.copy(5, &mut copy);
        assert_eq!(copy, [2, 3, 9, 9]);
    }

    #[test]
    fn values_are_read_and_written_at_any_alignment() {
        let mut memory = [0u8; 17];
        let odd = memory.as_mut_ptr().wrapping_add(1).cast::<u64>();
        // SAFETY: eight bytes from offset 1 are inside `memory`.
        let seen = unsafe { write(odd, 0x0102_0304_0506_0708).and_then(|()| read(odd)) };
        assert_eq!(seen.ok(), Some(0x0102_0304_0506_0708));
    }

    #[test]
    fn a_list_says_its_length_before_it_is_copied() {
        let mut count: ck::CK_ULONG = 0;
        // SAFETY: NULL buffer, good count.
        assert!(unsafe { write_list(std::ptr::null_mut::<u64>(), &raw mut count, &[1, 2]) }.is_ok());
        assert_eq!(count, 2);
        let mut room = [0u64; 1];
        count = 1;
        // SAFETY: one value fits and one is announced.
        let result = unsafe { write_list(room.as_mut_ptr(), &raw mut count, &[1, 2]) };
        assert!(matches!(result, Err(Error::BufferTooSmall)));
        assert_eq!((count, room), (2, [0]));
    }
}
