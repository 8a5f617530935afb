//! The kernel's sign-file, for modules.

use super::{ALWAYS, Cannot, PLAIN, Tool, ec, openssl_provider, rsa};

pub const SIGN_FILE: Tool = Tool {
    name: "sign-file",
    need: "sign-file",
    signs: "a kernel module",
    verifier: "openssl cms over the module without its appendix",
    present: "ls /usr/lib/linux-kbuild-*/scripts/sign-file",
    version: "ls /usr/lib/linux-kbuild-*/scripts/sign-file | sed 's/.*kbuild-//; s/.scripts.*//' | sort -V | tail -n 1",
    prepare: concat!("cp module.ko in.ko\n", openssl_provider::configuration!()),
    sign: r#"SIGN_FILE=$(ls /usr/lib/linux-kbuild-*/scripts/sign-file | sort -V | tail -n 1)
OPENSSL_CONF=provider.cnf KBUILD_SIGN_PIN="$PIN" "$SIGN_FILE" sha256 "$URI" "$CERT" in.ko out.ko"#,
    output: "out.ko",
    verify: r#"perl -e 'local $/; my $all = <STDIN>; $all =~ s/~Module signature appended~\n\z// or die;
my $length = unpack("N", substr $all, -4); my $end = length($all) - 12 - $length;
open my $p7, ">", "signed.p7"; print $p7 substr $all, $end, $length; open my $ko, ">", "signed.ko"; print $ko substr $all, 0, $end' <out.ko
openssl cms -verify -binary -inform DER -in signed.p7 -content signed.ko -certfile "$CERT" -CAfile "$CA" -purpose any -out content"#,
    spoil: "printf X | dd of=out.ko bs=1 seek=60 conv=notrunc",
    rows: &[rsa("CKM_RSA_PKCS"), ec("CKM_ECDSA")],
    says: "At main.c",
    cannot: &[Cannot {
        distribution: Some("bookworm"),
        why: "Debian 12's build takes keys of tokens through OpenSSL's provider only, which Debian 12 does not package",
        error: Some("OSSL_PROVIDER_try_load(pkcs11)"),
        ..ALWAYS
    }],
    ..PLAIN
};
