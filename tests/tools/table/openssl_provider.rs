//! openssl with pkcs11-provider, the successor of the engine. Its configuration serves `sign_file.rs` too.

use super::{ALWAYS, Cannot, Key, PLAIN, Row, Tool, ec, rsa};

/// Writes openssl's configuration of the provider, with a line about the PIN where the tool gives none itself. Without
/// `no-deinit`, version 1.0 ends with a segmentation fault after a good signature, with any module.
macro_rules! configuration {
    ($($pin:literal)?) => {
        concat!(
            r#"cat >provider.cnf <<END
openssl_conf = openssl_init
[openssl_init]
providers = providers
[providers]
default = default_provider
pkcs11 = pkcs11_provider
[default_provider]
activate = 1
[pkcs11_provider]
pkcs11-module-path = $MODULE
"#,
            $($pin, "\n",)?
            r#"pkcs11-module-quirks = no-deinit
activate = 1
END"#
        )
    };
}
pub(super) use configuration;

const PROVIDER: Tool = Tool {
    need: "openssl-provider",
    present: "ls /usr/lib/*/ossl-modules/pkcs11.so",
    version: "dpkg-query -W -f '${Version}' pkcs11-provider | sed 's/-.*//'",
    prepare: configuration!("pkcs11-module-token-pin = $PIN"),
    says: "provider signature failure",
    cannot: &[Cannot { distribution: Some("bookworm"), why: "Debian 12 has no pkcs11-provider", ..ALWAYS }],
    ..PLAIN
};

pub const PROVIDER_DGST: Tool = Tool {
    name: "openssl dgst, provider",
    signs: "a file",
    verifier: "openssl dgst without the provider",
    sign: r#"OPENSSL_CONF=provider.cnf openssl dgst -sha256 -sign "$URI" $SIGN_WITH -out out.sig data"#,
    output: "out.sig",
    verify: r#"openssl dgst -sha256 -verify "$KEY" $VERIFY_WITH -signature out.sig data"#,
    spoil: "echo other >data",
    rows: &[
        rsa("CKM_SHA256_RSA_PKCS"),
        Row {
            key: Key::Rsa,
            mechanism: "CKM_SHA256_RSA_PKCS_PSS",
            sign_with: "-sigopt rsa_padding_mode:pss",
            verify_with: "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:auto",
        },
        ec("CKM_ECDSA_SHA256"),
    ],
    ..PROVIDER
};

pub const PROVIDER_CMS: Tool = Tool {
    name: "openssl cms, provider",
    signs: "a file, as a CMS signature",
    verifier: "openssl cms without the provider",
    sign: r#"OPENSSL_CONF=provider.cnf openssl cms -sign -binary -inkey "$URI" -signer "$CERT" \
  -outform DER -in data -out out.p7s"#,
    output: "out.p7s",
    verify: r#"openssl cms -verify -binary -inform DER -in out.p7s -content data -CAfile "$CA" -signer signer.pem -out content
cmp signer.pem "$CERT""#,
    spoil: "echo other >data",
    rows: &[rsa("CKM_SHA256_RSA_PKCS"), ec("CKM_ECDSA_SHA256")],
    ..PROVIDER
};
