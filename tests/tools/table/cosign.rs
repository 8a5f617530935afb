//! cosign, as Debian builds it.

use super::{ALWAYS, Cannot, PLAIN, Tool};

pub const COSIGN: Tool = Tool {
    name: "cosign",
    need: "cosign",
    signs: "a file",
    present: "command -v cosign",
    version: "dpkg-query -W -f '${Version}' cosign | sed 's/-.*//'",
    sign: r#"cosign sign-blob --yes --tlog-upload=false --output-signature out.sig \
  --key "pkcs11:token=$SIGNER;object=$SIGNER?module-path=$MODULE&pin-value=$PIN" data"#,
    output: "out.sig",
    verify: r#"base64 -d out.sig >out.der && openssl dgst -sha256 -verify "$KEY" -signature out.der data"#,
    cannot: &[
        Cannot {
            distribution: Some("bookworm"),
            why: "Debian 12 has no cosign, and PyPI none with PKCS #11",
            ..ALWAYS
        },
        Cannot {
            distribution: Some("trixie"),
            why: "Debian 13 builds it without PKCS #11; a build of its sources with the tag `pkcs11key` has it, and is not run here",
            error: Some("opening pkcs11 token key: unimplemented"),
            ..ALWAYS
        },
    ],
    ..PLAIN
};
