//! keytool, with SunPKCS11: a certificate request is what it signs.

use super::{PLAIN, Tool, ec, rsa};

pub const KEYTOOL: Tool = Tool {
    name: "keytool -certreq",
    need: "java",
    signs: "a certificate request",
    verifier: "openssl req -verify",
    present: "command -v keytool",
    version: "java -version 2>&1 | sed -n 's/.*version \"\\(.*\\)\".*/\\1/p'",
    sign: r#"keytool -certreq -keystore NONE -storetype PKCS11 -storepass:env PIN -addprovider SunPKCS11 \
  -providerArg "$P11_CFG" -alias "$SIGNER" -file out.csr"#,
    output: "out.csr",
    verify: r#"openssl req -in out.csr -verify -noout 2>&1
test "$(openssl req -in out.csr -noout -pubkey)" = "$(cat "$KEY")""#,
    spoil: r#"openssl req -in out.csr -outform DER -out csr.der
printf X | dd of=csr.der bs=1 seek=60 conv=notrunc
{ echo '-----BEGIN CERTIFICATE REQUEST-----'; base64 csr.der; echo '-----END CERTIFICATE REQUEST-----'; } >out.csr"#,
    rows: &[rsa("CKM_SHA256_RSA_PKCS or CKM_SHA384_RSA_PKCS"), ec("CKM_ECDSA_SHA256 or CKM_ECDSA_SHA384")],
    says: "keytool error: java.security.ProviderException: Initialization failed",
    ..PLAIN
};
