//! OpenSC's pkcs11-tool.

use super::{Key, PLAIN, Row, Tool};

pub const PKCS11_TOOL: Tool = Tool {
    name: "pkcs11-tool",
    need: "opensc",
    signs: "a file",
    verifier: "openssl dgst",
    present: "command -v pkcs11-tool",
    version: "dpkg-query -W -f '${Version}' opensc | sed 's/^[0-9]*://; s/-.*//'",
    sign: r#"pkcs11-tool --module "$MODULE" --token-label "$SIGNER" --login --pin env:PIN \
  --sign $SIGN_WITH -i data -o out.sig"#,
    output: "out.sig",
    verify: r#"openssl dgst -sha256 -verify "$KEY" $VERIFY_WITH -signature out.sig data"#,
    spoil: "echo other >data",
    rows: &[
        Row { key: Key::Rsa, mechanism: "CKM_SHA256_RSA_PKCS", sign_with: "-m SHA256-RSA-PKCS", verify_with: "" },
        Row {
            key: Key::Rsa,
            mechanism: "CKM_SHA256_RSA_PKCS_PSS",
            sign_with: "-m SHA256-RSA-PKCS-PSS",
            verify_with: "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:auto",
        },
        Row {
            key: Key::Ec,
            mechanism: "CKM_ECDSA_SHA256",
            sign_with: "-m ECDSA-SHA256 --signature-format openssl",
            verify_with: "",
        },
    ],
    says: "PKCS11 function C_SignInit failed: rv = CKR_KEY_FUNCTION_NOT_PERMITTED (0x68)",
    ..PLAIN
};
