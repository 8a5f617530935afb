//! rpmsign, which has gpg sign.

use super::{Shows, Tool, gpg, rsa};

pub const RPMSIGN: Tool = Tool {
    name: "rpmsign",
    need: "rpm",
    signs: "an RPM, made by rpmbuild",
    verifier: "rpmkeys with a database of its own",
    present: "command -v rpmsign && command -v rpmbuild && command -v rpmkeys && command -v gpgsm && command -v gnupg-pkcs11-scd",
    version: "rpm --version | sed 's/.* //'",
    prepare: concat!(
        gpg::agent!(),
        gpg::openpgp_key!(),
        r#"cat >in.spec <<'END'
Name: signed
Version: 1
Release: 1
Summary: signed in a test
License: none
BuildArch: noarch
%description
Signed in a test.
%files
END
rpmbuild -bb --define "_topdir $PWD/rpm" in.spec >rpm.log 2>&1
mkdir db; rpmkeys --dbpath "$PWD/db" --import public.asc"#
    ),
    prepare_signs: 2,
    sign: r#"export GNUPGHOME="$PWD/gnupg"; cp rpm/RPMS/noarch/signed-1-1.noarch.rpm out.rpm
rpmsign --define "__gpg $(command -v gpg)" --define "_gpg_name $SIGNER" --addsign out.rpm"#,
    output: "out.rpm",
    verify: r#"rpmkeys --dbpath "$PWD/db" -Kv out.rpm >verified; grep -E 'Header .* RSA/.* Signature, key ID .*: OK' verified"#,
    spoil: r#"offset=$(grep -abo 'signed in a test' out.rpm | head -n 1 | cut -d : -f 1)
printf X | dd of=out.rpm bs=1 seek="$offset" conv=notrunc"#,
    rows: &[rsa("CKM_RSA_PKCS")],
    shows: Shows::Last,
    heeds_cka_sign: true,
    rsa_signers_only: true,
    says: "signing failed",
    cannot: &[gpg::RSA_ONLY],
    remark: "The same agent and key as for gpg. rpmsign changes the file that it is given, so a copy is signed.",
};
