//! apksigner of Android. Its own option for a provider does not work since JDK 9, so the provider comes from Java's
//! security properties.

use super::{PLAIN, Tool, ec, rsa};

pub const APKSIGNER: Tool = Tool {
    name: "apksigner",
    need: "apksigner",
    signs: "an APK, schemes 1, 2 and 3: several signatures a file",
    verifier: "apksigner verify, and the certificate's digest by openssl",
    present: "command -v apksigner && command -v jar",
    version: "apksigner --version",
    prepare: r#"cp data classes.dex && jar --create --no-manifest --file app.apk AndroidManifest.xml classes.dex
printf 'security.provider.12=SunPKCS11 %s\n' "$P11_CFG" >java.properties"#,
    sign: r#"apksigner -JDjava.security.properties=java.properties sign --ks NONE --ks-type PKCS11 --ks-pass env:PIN \
  --ks-key-alias "$SIGNER" --min-sdk-version 24 --in app.apk --out out.apk"#,
    output: "out.apk",
    verify: r#"apksigner verify --min-sdk-version 24 --print-certs out.apk >verified
digest=$(openssl x509 -in "$CERT" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr A-F a-f)
grep -F "SHA-256 digest: $digest" verified"#,
    spoil: "printf X | dd of=out.apk bs=1 seek=45 conv=notrunc",
    rows: &[rsa("CKM_SHA256_RSA_PKCS or CKM_SHA384_RSA_PKCS"), ec("CKM_ECDSA_SHA256")],
    says: "CKR_KEY_FUNCTION_NOT_PERMITTED",
    remark: "`java.properties` is one line: `security.provider.12=SunPKCS11 ` and the path of the configuration.",
    ..PLAIN
};
