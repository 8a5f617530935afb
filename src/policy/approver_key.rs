//! An approver's SSH public key, as a line of an OpenSSH `.pub` file. Reads the key far enough to say that it is of a
//! kind and strength the gate takes; the signatures themselves are checked in `trust`.
//! Sources: RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709, OpenSSH PROTOCOL.u2f.

use jiff::Timestamp;
use std::fmt;

/// Smallest RSA modulus of an approver, in bits.
const MIN_RSA_BITS: usize = 3072;

/// A public key that speaks for a user when requests are approved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApproverKey {
    blob: Box<[u8]>,
    expires: Option<Timestamp>,
}

impl ApproverKey {
    pub(super) fn from_line(line: &str, expires: Option<Timestamp>) -> Result<ApproverKey, String> {
        let mut words = line.split_ascii_whitespace();
        let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else {
            return Err("not an OpenSSH public key; copy the whole line of the `.pub` file".to_owned());
        };
        let Some(kind) = Kind::from_name(algorithm) else {
            let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            return Err(format!(
                "key algorithm `{}` is not accepted; use one of {}",
                algorithm.escape_debug(),
                all.join(", ")
            ));
        };
        let blob = super::base64::read(encoded.as_bytes())
            .ok_or_else(|| "the key is not base64; copy the whole line of the `.pub` file".to_owned())?;
        kind.check(&blob)?;
        Ok(ApproverKey { blob: blob.into(), expires })
    }

    /// The key in SSH wire format.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The moment from which the key counts no more.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// `SHA256:…` as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.blob);
        format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(hash.as_ref()))
    }
}

impl fmt::Display for ApproverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ed25519,
    SkEd25519,
    Nistp256,
    Nistp384,
    Nistp521,
    SkNistp256,
    Rsa,
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::Ed25519, Kind::SkEd25519, Kind::Nistp256, Kind::Nistp384, Kind::Nistp521, Kind::SkNistp256, Kind::Rsa];

    const fn name(self) -> &'static str {
        match self {
            Kind::Ed25519 => "ssh-ed25519",
            Kind::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Kind::Nistp256 => "ecdsa-sha2-nistp256",
            Kind::Nistp384 => "ecdsa-sha2-nistp384",
            Kind::Nistp521 => "ecdsa-sha2-nistp521",
            Kind::SkNistp256 => "sk-ecdsa-sha2-nistp256@openssh.com",
            Kind::Rsa => "ssh-rsa",
        }
    }

    fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn check(self, blob: &[u8]) -> Result<(), String> {
        let mut fields = Fields(blob);
        if fields.next_field()? != self.name().as_bytes() {
            return Err(format!("the line says `{}`, the key itself says otherwise", self.name()));
        }
        match self {
            Kind::Ed25519 => fields.exactly("the Ed25519 point", 32)?,
            Kind::SkEd25519 => {
                fields.exactly("the Ed25519 point", 32)?;
                fields.next_field()?;
            }
            Kind::Nistp256 => fields.point(b"nistp256", 32)?,
            Kind::Nistp384 => fields.point(b"nistp384", 48)?,
            Kind::Nistp521 => fields.point(b"nistp521", 66)?,
            Kind::SkNistp256 => {
                fields.point(b"nistp256", 32)?;
                fields.next_field()?;
            }
            Kind::Rsa => {
                fields.next_field()?;
                let modulus = fields.next_field()?;
                let significant = modulus.iter().position(|byte| *byte != 0).and_then(|zeros| modulus.get(zeros..));
                let bits = significant.map_or(0, |number| {
                    let leading = number.first().map_or(0, |byte| byte.leading_zeros());
                    number.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(0))
                });
                if bits < MIN_RSA_BITS {
                    return Err(format!("an RSA key of {bits} bits; approvers need at least {MIN_RSA_BITS}"));
                }
            }
        }
        if fields.0.is_empty() { Ok(()) } else { Err("bytes after the end of the key".to_owned()) }
    }
}

/// The length-prefixed fields of an SSH key blob (RFC 4251, section 5).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next_field(&mut self) -> Result<&'a [u8], String> {
        let cut = || "the key is cut short; copy the whole line of the `.pub` file".to_owned();
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut())?;
        let (field, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(field)
    }

    fn exactly(&mut self, what: &str, length: usize) -> Result<(), String> {
        let found = self.next_field()?.len();
        if found == length { Ok(()) } else { Err(format!("{what} has {found} bytes, expected {length}")) }
    }

    fn point(&mut self, curve: &[u8], coordinate: usize) -> Result<(), String> {
        if self.next_field()? != curve {
            return Err("the key's curve is not the one its algorithm names".to_owned());
        }
        self.exactly("the point", coordinate.saturating_mul(2).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(algorithm: &str, fields: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for field in [algorithm.as_bytes()].iter().chain(fields) {
            blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend(*field);
        }
        format!("{algorithm} {} somebody@host", data_encoding::BASE64.encode(&blob))
    }

    fn read(line: &str) -> Result<ApproverKey, String> {
        ApproverKey::from_line(line, None)
    }

    #[test]
    fn a_key_made_by_ssh_keygen_has_the_fingerprint_ssh_keygen_prints() {
        let key =
            read("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github").unwrap();
        assert_eq!(key.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }

    #[test]
    fn an_rsa_key_under_3072_bits_is_refused() {
        let modulus = |bytes: usize| [vec![0], vec![0xff; bytes]].concat();
        assert!(read(&line("ssh-rsa", &[&[1, 0, 1], &modulus(384)])).is_ok());
        assert!(read(&line("ssh-rsa", &[&[1, 0, 1], &modulus(383)])).unwrap_err().contains("3064 bits"));
    }

    #[test]
    fn a_key_that_is_not_what_its_line_says_is_refused() {
        let good = line("ssh-ed25519", &[&[7; 32]]);
        assert!(read(&good).is_ok());
        assert!(read(&good.replacen("ssh-ed25519 ", "ssh-rsa ", 1)).is_err());
        assert!(read(&good.replacen("AAAA", "AA==AA==AA==", 1)).is_err());
        assert!(read(&line("ssh-ed25519", &[&[7; 31]])).is_err());
        assert!(read(&line("ssh-ed25519", &[&[7; 32], b"more"])).is_err());
        assert!(read(&line("ssh-dss", &[&[7; 32]])).unwrap_err().contains("not accepted"));
        assert!(read("ssh-ed25519").is_err());
        assert!(read("ssh-ed25519 AAAA").is_err());
    }

    #[test]
    fn security_keys_and_nist_curves_are_accepted() {
        assert!(read(&line("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"])).is_ok());
        assert!(read(&line("ecdsa-sha2-nistp521", &[b"nistp521", &[4; 133]])).is_ok());
        assert!(read(&line("ecdsa-sha2-nistp256", &[b"nistp384", &[4; 65]])).is_err());
        assert!(read(&line("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &[4; 65], b"ssh:"])).is_ok());
    }
}
