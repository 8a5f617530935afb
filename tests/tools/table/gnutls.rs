//! GnuTLS: p11tool and certtool.

use super::{PLAIN, Tool, ec, rsa};

const VERSION: &str = "certtool --version | sed -n '1s/.* //p'";

pub const P11TOOL: Tool = Tool {
    name: "p11tool --test-sign",
    need: "gnutls",
    signs: "a text of its own",
    verifier: "p11tool, with the public key of the module",
    present: "command -v p11tool",
    version: VERSION,
    sign: r#"GNUTLS_PIN="$PIN" p11tool --provider "$MODULE" --login --test-sign "$URI" >out.log 2>&1 || { cat out.log >&2; exit 1; }"#,
    output: "out.log",
    verify: "grep -F 'Verifying against public key in the token... ok' out.log",
    spoil: "sed -i 's/token... ok/token... no/' out.log",
    rows: &[rsa("CKM_RSA_PKCS"), ec("CKM_ECDSA")],
    says: "Cannot sign data",
    ..PLAIN
};

pub const CERTTOOL: Tool = Tool {
    name: "certtool",
    need: "gnutls",
    signs: "a file, as a PKCS #7 signature",
    verifier: "openssl cms",
    present: "command -v certtool",
    version: VERSION,
    sign: r#"GNUTLS_PIN="$PIN" certtool --provider "$MODULE" --p7-detached-sign --load-privkey "$URI" \
  --load-certificate "$CERT" --infile data --outfile out.p7"#,
    output: "out.p7",
    verify: r#"openssl cms -verify -binary -inform PEM -in out.p7 -content data -CAfile "$CA" -signer signer.pem -out content
cmp signer.pem "$CERT""#,
    spoil: "echo other >data",
    rows: &[rsa("CKM_RSA_PKCS"), ec("CKM_ECDSA")],
    says: "Error signing: PKCS #11 error in key",
    ..PLAIN
};
