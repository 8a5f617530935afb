//! sbsign, for UEFI Secure Boot, with libp11's engine. Its verifier is also the one of `pesign.rs`.

use super::{ALWAYS, Cannot, Key, PLAIN, Tool, rsa};

pub const SBSIGN: Tool = Tool {
    name: "sbsign",
    need: "sbsign",
    signs: "an EFI program",
    verifier: "sbverify, and pesign's list of signers",
    present: "command -v sbsign && command -v sbverify && openssl engine pkcs11",
    version: "sbsign --version 2>&1 | sed 's/[^0-9]*//'",
    prepare: "cp program.efi in.efi",
    sign: r#"OPENSSL_CONF="$ENGINE_CNF" sbsign --engine pkcs11 --key "$URI" --cert "$CERT" --output out.efi in.efi"#,
    output: "out.efi",
    verify: r#"sbverify --list out.efi | grep -F "CN=$SIGNER"
sbverify --cert "$CERT" out.efi"#,
    spoil: "printf X | dd of=out.efi bs=1 seek=513 conv=notrunc",
    rows: &[rsa("CKM_RSA_PKCS")],
    says: "PKCS#11 module:ERR_CKR_error:Function not supported",
    cannot: &[Cannot { key: Some(Key::Ec), why: "UEFI Secure Boot takes RSA only", ..ALWAYS }],
    ..PLAIN
};
