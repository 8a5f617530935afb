//! openssl with libp11's engine.

use super::{Key, PLAIN, Row, Tool, ec, rsa};

const ENGINE: Tool = Tool {
    need: "openssl-engine",
    present: "openssl engine pkcs11",
    version: "openssl version | cut -d ' ' -f 2",
    says: "PKCS#11 module:ERR_CKR_error:Function not supported",
    ..PLAIN
};

pub const ENGINE_DGST: Tool = Tool {
    name: "openssl dgst, engine",
    signs: "a file",
    verifier: "openssl dgst without the engine",
    sign: r#"OPENSSL_CONF="$ENGINE_CNF" openssl dgst -sha256 -engine pkcs11 -keyform engine -sign "$URI" $SIGN_WITH -out out.sig data"#,
    output: "out.sig",
    verify: r#"openssl dgst -sha256 -verify "$KEY" $VERIFY_WITH -signature out.sig data"#,
    spoil: "echo other >data",
    rows: &[
        rsa("CKM_RSA_PKCS"),
        Row {
            key: Key::Rsa,
            mechanism: "CKM_RSA_PKCS_PSS",
            sign_with: "-sigopt rsa_padding_mode:pss",
            verify_with: "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:auto",
        },
        ec("CKM_ECDSA"),
    ],
    ..ENGINE
};

pub const ENGINE_CMS: Tool = Tool {
    name: "openssl cms, engine",
    signs: "a file, as a CMS signature",
    verifier: "openssl cms without the engine",
    sign: r#"OPENSSL_CONF="$ENGINE_CNF" openssl cms -sign -binary -engine pkcs11 -keyform engine -inkey "$URI" \
  -signer "$CERT" -outform DER -in data -out out.p7s"#,
    output: "out.p7s",
    verify: r#"openssl cms -verify -binary -inform DER -in out.p7s -content data -CAfile "$CA" -signer signer.pem -out content
cmp signer.pem "$CERT""#,
    spoil: "echo other >data",
    rows: &[rsa("CKM_RSA_PKCS"), ec("CKM_ECDSA")],
    ..ENGINE
};
