//! Accounts: whose this process is, and what they are called. Read next: `security.rs`.
#![expect(unsafe_code, reason = "only Windows says whose a process is")]

use super::{Windows, wide};
use crate::platform::windows::Accounts;
use std::{
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr, slice,
};
use windows_sys::Win32::{
    Foundation::HANDLE,
    Security::{
        CheckTokenMembership, GetLengthSid, GetTokenInformation, LookupAccountSidW, PSID, TOKEN_QUERY, TOKEN_USER,
        TokenUser,
    },
    System::Threading::{GetCurrentProcess, OpenProcessToken},
};

/// Words of the longest SID: revision, count and authority, and SID_MAX_SUB_AUTHORITIES parts.
const LONGEST: usize = 2 + MOST_PARTS;
const MOST_PARTS: usize = 15;

impl Accounts for Windows {
    fn user(&self) -> Option<Vec<u8>> {
        let mut token: HANDLE = ptr::null_mut();
        // SAFETY: the process's own pseudo handle is always valid; `token` is a place for one handle.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
            return None;
        }
        // SAFETY: a handle that was opened above, owned by nobody else.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        // As many words as a TOKEN_USER with the longest SID; words, because the structure begins with a pointer.
        let mut user = [0_u64; 16];
        let mut length = 0;
        let room = u32::try_from(size_of_val(&user)).ok()?;
        // SAFETY: an open token, and a buffer of `room` bytes, aligned for a pointer.
        let told = unsafe {
            GetTokenInformation(token.as_raw_handle(), TokenUser, user.as_mut_ptr().cast(), room, &raw mut length)
        };
        if told == 0 {
            return None;
        }
        // SAFETY: Windows has filled in a TOKEN_USER, and its SID lies in the same buffer, which is still here.
        unsafe { copy((*user.as_ptr().cast::<TOKEN_USER>()).User.Sid) }
    }

    fn is_member(&self, group: &[u8]) -> bool {
        let Some(mut sid) = aligned(group) else { return false };
        let mut is_member = 0;
        // SAFETY: the current token, a complete SID, and a place for the answer.
        let told = unsafe { CheckTokenMembership(ptr::null_mut(), sid.as_mut_ptr().cast(), &raw mut is_member) };
        told != 0 && is_member != 0
    }

    fn name_of(&self, account: &[u8]) -> Option<String> {
        let mut sid = aligned(account)?;
        // As long as an account's and a domain's name can be (UNLEN, DNS_MAX_NAME_LENGTH), with their ends.
        let (mut name, mut domain) = ([0_u16; 257], [0_u16; 257]);
        let (mut name_length, mut domain_length, mut kind) = (257, 257, 0);
        // SAFETY: a complete SID, and two buffers with their lengths.
        let found = unsafe {
            LookupAccountSidW(
                ptr::null(),
                sid.as_mut_ptr().cast(),
                name.as_mut_ptr(),
                &raw mut name_length,
                domain.as_mut_ptr(),
                &raw mut domain_length,
                &raw mut kind,
            )
        };
        let (name, domain) = (wide::text(&name)?, wide::text(&domain)?);
        (found != 0 && !name.is_empty()).then(|| format!("{domain}\\{name}"))
    }
}

/// NULL or a SID that somebody else's memory holds.
///
/// # Safety
/// NULL, or a valid SID.
pub(super) unsafe fn copy(sid: PSID) -> Option<Vec<u8>> {
    if sid.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    let length = usize::try_from(unsafe { GetLengthSid(sid) }).ok()?;
    // SAFETY: a valid SID has as many bytes as Windows says.
    Some(unsafe { slice::from_raw_parts(sid.cast::<u8>(), length) }.to_vec())
}

/// A SID in words, because Windows may want it aligned; none for bytes that are no complete SID, whose parts would be
/// looked for behind them.
fn aligned(sid: &[u8]) -> Option<[u32; LONGEST]> {
    let [1, count, ..] = *sid else { return None };
    let (words, rest) = sid.as_chunks::<4>();
    let is_complete = rest.is_empty() && usize::from(count) <= MOST_PARTS && words.len() == usize::from(count) + 2;
    let mut aligned = [0; LONGEST];
    for (word, bytes) in aligned.iter_mut().zip(words) {
        *word = u32::from_ne_bytes(*bytes);
    }
    is_complete.then_some(aligned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_for_a_sid_and_none_for_what_is_no_sid() {
        let everyone = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        assert!(Windows.name_of(&everyone).is_some());
        for cut in 0..everyone.len() {
            assert_eq!(Windows.name_of(&everyone[..cut]), None, "cut after {cut} bytes");
        }
        let too_many = [&[1, 16, 0, 0, 0, 0, 0, 5][..], &[0; 64]].concat();
        assert_eq!(Windows.name_of(&too_many), None);
        assert!(Windows.is_member(&everyone) && !Windows.is_member(&everyone[..11]));
    }
}
