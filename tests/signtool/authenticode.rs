//! What signtool does around the digest that it has signed: the hash of a program, the attributes that are signed, the
//! PKCS#7 message, and the program with the message in it. An implementation of its own, so that nothing of the gate
//! checks itself; osslsigncode has the last word.
//! Source: Microsoft, "Windows Authenticode Portable Executable Signature Format"; RFC 2315 (PKCS#7).

use aws_lc_rs::digest::{Context, SHA256, digest};
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

/// Of the optional header in the programs of these tests.
const OPTIONAL_HEADER: usize = 0x58;
const CHECKSUM: usize = OPTIONAL_HEADER + 64;
/// The fifth entry of PE32+'s data directories: offset and length of the certificate table.
const SECURITY: usize = OPTIONAL_HEADER + 112 + 4 * 8;

const SHA256_WITH_NULL: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
/// SPC_INDIRECT_DATA_OBJID.
const INDIRECT_DATA: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04];
/// SPC_PE_IMAGE_DATAOBJ, with no flags and an empty file name.
const PE_IMAGE: &[u8] = &[
    0x30, 0x17, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f, 0x30, 0x09, 0x03, 0x01, 0x00,
    0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00,
];
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const CONTENT_TYPE: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const RSA_ENCRYPTION: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A DER element.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let head = match content.len() {
        0 => vec![tag, 0],
        1..0x80 => vec![tag, digits[0]],
        _ => [&[tag, 0x80 | digits.len() as u8], digits].concat(),
    };
    [head, content].concat()
}

/// A program, and what of it is to be signed.
pub struct Program {
    file: Vec<u8>,
    indirect: Vec<u8>,
    attributes: Vec<u8>,
}

impl Program {
    /// A PE32+ program of `tests/support/portable_executable.rs`.
    pub fn new(file: &[u8]) -> Program {
        let mut context = Context::new(&SHA256);
        for range in [0..CHECKSUM, CHECKSUM + 4..SECURITY, SECURITY + 8..file.len()] {
            context.update(&file[range]);
        }
        let image = context.finish();
        let message_digest = element(0x30, &[SHA256_WITH_NULL, &element(0x04, &[image.as_ref()])]);
        let indirect = [PE_IMAGE, &message_digest].concat();
        let hash = digest(&SHA256, &indirect);
        let mut attributes = [
            element(0x30, &[CONTENT_TYPE, &element(0x31, &[INDIRECT_DATA])]),
            element(0x30, &[MESSAGE_DIGEST, &element(0x31, &[&element(0x04, &[hash.as_ref()])])]),
        ];
        attributes.sort();
        Program { file: file.to_vec(), indirect, attributes: attributes.concat() }
    }

    /// SHA-256 of the authenticated attributes: what is handed over for signing.
    pub fn digest(&self) -> [u8; 32] {
        let hash = digest(&SHA256, &element(0x31, &[&self.attributes]));
        hash.as_ref().try_into().unwrap()
    }

    /// The PKCS#7 message. The first certificate is the signer's; an ECDSA signature comes as DER.
    pub fn message(&self, signature: &[u8], is_rsa: bool, certificates: &[Vec<u8>]) -> Vec<u8> {
        let leaf = Certificate::from_der(&certificates[0]).unwrap();
        let leaf = leaf.tbs_certificate();
        let issuer = [leaf.issuer().to_der().unwrap(), leaf.serial_number().to_der().unwrap()].concat();
        let signer = element(
            0x30,
            &[
                &[2, 1, 1],
                &element(0x30, &[&issuer]),
                SHA256_WITH_NULL,
                &element(0xa0, &[&self.attributes]),
                if is_rsa { RSA_ENCRYPTION } else { ECDSA_WITH_SHA256 },
                &element(0x04, &[signature]),
            ],
        );
        let content = element(0x30, &[INDIRECT_DATA, &element(0xa0, &[&element(0x30, &[&self.indirect])])]);
        let signed = element(
            0x30,
            &[
                &[2, 1, 1],
                &element(0x31, &[SHA256_WITH_NULL]),
                &content,
                &element(0xa0, &[&certificates.concat()]),
                &element(0x31, &[&signer]),
            ],
        );
        element(0x30, &[SIGNED_DATA, &element(0xa0, &[&signed])])
    }

    /// The program with the message in it.
    pub fn signed(&self, message: &[u8]) -> Vec<u8> {
        let length = (8 + message.len()).next_multiple_of(8);
        let mut file = self.file.clone();
        let offset = u32::try_from(file.len()).unwrap();
        let length = u32::try_from(length).unwrap();
        file[SECURITY..SECURITY + 4].copy_from_slice(&offset.to_le_bytes());
        file[SECURITY + 4..SECURITY + 8].copy_from_slice(&length.to_le_bytes());
        // Revision 2, PKCS#7.
        file.extend([&length.to_le_bytes()[..], &[0, 2, 2, 0], message].concat());
        file.resize(self.file.len() + length as usize, 0);
        let checksum = checksum(&file);
        file[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        file
    }
}

/// The sum of a program that Windows' loader knows, as imagehlp computes it.
fn checksum(file: &[u8]) -> u32 {
    let words = file.chunks(2).enumerate().filter(|(number, _)| !(CHECKSUM / 2..CHECKSUM / 2 + 2).contains(number));
    let sum = words.fold(0_u32, |sum, (_, word)| {
        let sum = sum + u32::from(u16::from_le_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
        (sum & 0xffff) + (sum >> 16)
    });
    sum + u32::try_from(file.len()).unwrap()
}
