//! jarsigner, with SunPKCS11. The chain comes from the module.

use super::{PLAIN, Tool, ec, rsa};

pub const JARSIGNER: Tool = Tool {
    name: "jarsigner",
    need: "java",
    signs: "a JAR",
    verifier: "jarsigner -verify -strict against the authority, openssl cms over META-INF",
    present: "command -v jarsigner && command -v keytool && command -v jar && command -v unzip",
    version: "java -version 2>&1 | sed -n 's/.*version \"\\(.*\\)\".*/\\1/p'",
    prepare: r#"jar --create --file app.jar data
keytool -importcert -noprompt -alias ca -storetype PKCS12 -keystore trust.p12 -storepass changeit -file "$CA" 2>&1"#,
    sign: r#"jarsigner -keystore NONE -storetype PKCS11 -storepass:env PIN -addprovider SunPKCS11 \
  -providerArg "$P11_CFG" -signedjar out.jar app.jar "$SIGNER""#,
    output: "out.jar",
    verify: r#"jarsigner -verify -strict -verbose -certs -keystore trust.p12 -storepass changeit out.jar >verified
grep -F 'jar verified.' verified && grep -F "CN=$SIGNER" verified
unzip -p out.jar 'META-INF/*.SF' >signed.sf && unzip -p out.jar 'META-INF/*.RSA' 'META-INF/*.EC' >signed.p7 || true
openssl cms -verify -binary -inform DER -in signed.p7 -content signed.sf -CAfile "$CA" -purpose any -out content"#,
    spoil: "echo other >data && jar --update --file out.jar data",
    rows: &[rsa("CKM_SHA256_RSA_PKCS or CKM_SHA384_RSA_PKCS"), ec("CKM_ECDSA_SHA256 or CKM_ECDSA_SHA384")],
    says: "unable to sign jar: java.security.ProviderException: Initialization failed",
    ..PLAIN
};
