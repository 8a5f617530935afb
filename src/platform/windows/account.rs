//! Accounts: security identifiers (SIDs), as [MS-DTYP] 2.4.2 lays them out, and whose this process is.
//! Read next: `access.rs`.

use crate::SYSTEM;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

/// SECURITY_MAX_SID_SIZE.
const LARGEST: usize = 68;
/// Revision, count and authority.
const HEAD: usize = 8;
/// SID_MAX_SUB_AUTHORITIES.
const MOST_PARTS: usize = 15;

/// An account or a group, by its SID.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Account {
    bytes: [u8; LARGEST],
    length: usize,
}

/// The accounts that administer a machine in any case: SYSTEM, Administrators, TrustedInstaller.
const ADMINISTRATORS: [&[u32]; 3] =
    [&[18], &[32, 544], &[80, 956_008_885, 3_418_522_649, 1_831_038_044, 1_853_292_631, 2_271_478_464]];

/// Who stands for everybody, or for everybody of some kind, by authority and parts.
const EVERYBODY: [(u64, &[u32]); 25] = [
    (1, &[0]),       // Everyone
    (2, &[0]),       // LOCAL
    (2, &[1]),       // CONSOLE LOGON
    (5, &[1]),       // DIALUP
    (5, &[2]),       // NETWORK
    (5, &[3]),       // BATCH
    (5, &[4]),       // INTERACTIVE
    (5, &[6]),       // SERVICE
    (5, &[7]),       // ANONYMOUS LOGON
    (5, &[11]),      // Authenticated Users
    (5, &[13]),      // TERMINAL SERVER USER
    (5, &[14]),      // REMOTE INTERACTIVE LOGON
    (5, &[15]),      // This Organization
    (5, &[32, 545]), // Users
    (5, &[32, 546]), // Guests
    (5, &[32, 554]), // Pre-Windows 2000 Compatible Access
    (5, &[64, 10]),  // NTLM Authentication
    (5, &[64, 14]),  // SChannel Authentication
    (5, &[64, 21]),  // Digest Authentication
    (5, &[113]),     // Local account
    (5, &[1000]),    // Other Organization
    (18, &[1]),      // Authentication authority asserted identity
    (18, &[2]),      // Service asserted identity
    (15, &[2, 1]),   // ALL APPLICATION PACKAGES
    (15, &[2, 2]),   // ALL RESTRICTED APPLICATION PACKAGES
];

/// DOMAIN_USERS and its kind: the last part of S-1-5-21-…
const WHOLE_DOMAIN: [u32; 3] = [513, 514, 515];

impl Account {
    /// The SID at the beginning of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Account> {
        let [1, count, ..] = *bytes else { return None };
        let count = usize::from(count);
        let length = count.checked_mul(4)?.checked_add(HEAD)?;
        let sid = bytes.get(..length).filter(|_| count <= MOST_PARTS)?;
        let mut account = Account { bytes: [0; LARGEST], length };
        account.bytes.get_mut(..length)?.copy_from_slice(sid);
        Some(account)
    }

    fn sid(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn authority(&self) -> u64 {
        self.sid().get(2..HEAD).unwrap_or_default().iter().fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
    }

    fn parts(&self) -> impl Iterator<Item = u32> + '_ {
        let parts = self.sid().get(HEAD..).unwrap_or_default().chunks_exact(4);
        parts.map(|part| part.try_into().map(u32::from_le_bytes).unwrap_or_default())
    }

    fn is(&self, authority: u64, parts: &[u32]) -> bool {
        self.authority() == authority && self.parts().eq(parts.iter().copied())
    }

    /// Whether it administers the machine in any case, as root does on Unix.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        ADMINISTRATORS.iter().any(|parts| self.is(5, parts))
    }

    /// Whether it stands for everybody, or for everybody of some kind or of a domain.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        let is_whole_domain = self.authority() == 5
            && self.parts().next() == Some(21)
            && self.parts().last().is_some_and(|last| WHOLE_DOMAIN.contains(&last));
        is_whole_domain || EVERYBODY.iter().any(|(authority, parts)| self.is(*authority, parts))
    }

    /// Whether it stands for whoever owns the file: CREATOR OWNER, OWNER RIGHTS.
    #[must_use]
    pub fn is_the_owner(&self) -> bool {
        self.is(3, &[0]) || self.is(3, &[4])
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.authority() {
            small if small < 1 << 32 => write!(f, "S-1-{small}")?,
            large => write!(f, "S-1-0x{large:012X}")?,
        }
        self.parts().try_for_each(|part| write!(f, "-{part}"))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The account that this process was started as: the user of its token. An account that is nobody's, and so owns
/// nothing, where Windows does not say.
#[must_use]
pub fn effective_account() -> Account {
    let user = SYSTEM.user().and_then(|sid| Account::of(&sid));
    user.unwrap_or(Account { bytes: [0; LARGEST], length: 0 })
}

/// A number that stands for this process's account in the ledger: the beginning of its SID's SHA-256. Nobody can choose
/// his SID, so nobody can choose to be taken for somebody else.
#[must_use]
pub fn account_number() -> u32 {
    let hash = digest(&SHA256, effective_account().sid());
    hash.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// `DOMAIN\name`, as Windows writes both; none where it knows no name.
#[must_use]
pub fn account_name(account: &Account) -> Option<String> {
    SYSTEM.name_of(account.sid())
}

/// Whether this process acts with the rights of Administrators, as one that was started elevated.
#[must_use]
pub fn administers() -> bool {
    const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    SYSTEM.is_member(&ADMINISTRATORS) || effective_account().is(5, &[18])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(authority: u8, parts: &[u32]) -> Account {
        let mut bytes = vec![1, u8::try_from(parts.len()).unwrap(), 0, 0, 0, 0, 0, authority];
        bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
        Account::of(&bytes).unwrap()
    }

    #[test]
    fn a_sid_is_written_as_windows_writes_it() {
        assert_eq!(account(5, &[32, 544]).to_string(), "S-1-5-32-544");
        assert_eq!(account(1, &[0]).to_string(), "S-1-1-0");
    }

    #[test]
    fn what_is_no_sid_is_refused() {
        for bytes in [&[][..], &[1], &[2, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0], &[1, 2, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]] {
            assert_eq!(Account::of(bytes), None, "{bytes:?}");
        }
        assert_eq!(Account::of(&[&[1, 16, 0, 0, 0, 0, 0, 5][..], &[0; 64]].concat()), None, "too many parts");
    }

    #[test]
    fn who_administers_and_who_is_everybody() {
        assert!(account(5, &[18]).is_administrator() && account(5, &[32, 544]).is_administrator());
        for everybody in [account(1, &[0]), account(5, &[11]), account(5, &[32, 545]), account(5, &[21, 1, 2, 3, 513])]
        {
            assert!(everybody.is_everybody() && !everybody.is_administrator(), "{everybody}");
        }
        let somebody = account(5, &[21, 1, 2, 3, 1001]);
        assert!(!somebody.is_everybody() && !somebody.is_administrator());
    }

    #[test]
    fn this_process_has_a_user_with_a_domain() {
        let name = account_name(&effective_account()).unwrap();
        let (domain, user) = name.split_once('\\').unwrap();
        assert!(!domain.is_empty() && !user.is_empty(), "{name}");
        assert_ne!(account_number(), 0);
    }
}
