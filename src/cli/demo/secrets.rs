//! The secrets the demo makes: the HSM's PINs and the callers' credentials. Each is kept in a file of its own
//! (mode 0600) and made only once, so that a second run changes nothing.

use super::{failure::Failure, folder::Folder};
use aws_lc_rs::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use data_encoding::HEXLOWER;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters after `sg_`: 166 bits, and short enough for libp11, which cuts PINs at 31 bytes.
const CREDENTIAL_LENGTH: usize = 28;

/// The demo caller's credential, and that of a caller who is no member of any signer.
pub const MEMBER: &str = "callers/demo-ci.token";
/// See [`MEMBER`].
pub const STRANGER: &str = "callers/mallory.token";

/// All secrets of a folder.
pub struct Secrets {
    pub hsm_pin: String,
    pub hsm_so_pin: String,
    pub member: String,
    pub stranger: String,
}

impl Secrets {
    /// Reads them, and makes those that are missing or damaged.
    pub fn keep_or_make(folder: &Folder) -> Result<Secrets, Failure> {
        let pin = |file: &str| folder.keep_or_make(file, |text| is_base62(text, 16), || random_base62(16));
        let credential = |file: &str| {
            let make = || Ok(format!("sg_{}", random_base62(CREDENTIAL_LENGTH)?));
            folder.keep_or_make(file, is_credential, make)
        };
        Ok(Secrets {
            hsm_pin: pin("hsm.pin")?,
            hsm_so_pin: pin("hsm.so-pin")?,
            member: credential(MEMBER)?,
            stranger: credential(STRANGER)?,
        })
    }
}

/// What the policy keeps of a credential: its SHA-256, in hexadecimal.
pub fn sha256_hex(credential: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, credential.as_bytes()).as_ref())
}

/// `N` random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::new("the operating system gives no random numbers"))?;
    Ok(bytes)
}

fn is_credential(text: &str) -> bool {
    text.strip_prefix("sg_").is_some_and(|rest| is_base62(rest, CREDENTIAL_LENGTH))
}

fn is_base62(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn random_base62(length: usize) -> Result<String, Failure> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 248 = 4 × 62: bytes above it would make some characters likelier than others.
        let fair = random::<64>()?.into_iter().filter(|byte| *byte < 248);
        let missing = length.saturating_sub(text.len());
        text.extend(fair.filter_map(|byte| BASE62.get(usize::from(byte) % 62)).take(missing).map(|c| char::from(*c)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_the_form_a_pin_prompt_accepts_and_no_two_are_equal() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::keep_or_make(&Folder::take(dir.path()).unwrap()).unwrap();
        assert!(is_credential(&secrets.member) && secrets.member.len() == 31, "{}", secrets.member);
        assert_ne!(secrets.member, secrets.stranger);
        assert_ne!(secrets.hsm_pin, secrets.hsm_so_pin);
    }

    #[test]
    fn the_policys_hash_of_a_credential_is_plain_sha256() {
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn every_character_turns_up_in_long_random_text() {
        let text = random_base62(4000).unwrap();
        assert!(BASE62.iter().all(|c| text.contains(char::from(*c))));
    }
}
