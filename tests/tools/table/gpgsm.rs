//! gpgsm, GnuPG's S/MIME: with the signer's certificate, through the same agent as `gpg.rs`.

use super::{PLAIN, Shows, Tool, gpg, rsa};

pub const GPGSM: Tool = Tool {
    name: "gpgsm",
    need: "gpg",
    signs: "a file, as a CMS signature",
    verifier: "gpgsm --verify in another home, without the agent",
    present: "command -v gpg && command -v gpgsm && command -v gnupg-pkcs11-scd",
    version: "gpgsm --version | sed -n '1s/.* //p'",
    prepare: concat!(
        gpg::agent!(),
        r#"openssl x509 -in "$CA" -noout -fingerprint -sha1 | sed 's/.*=//; s/$/ S relax/' >gnupg/trustlist.txt
gpgsm --batch --import "$CA"; gpg-connect-agent RELOADAGENT /bye"#
    ),
    sign: r#"export GNUPGHOME="$PWD/gnupg"
gpgsm --batch --yes -u "$SIGNER" --detach-sign -o out.p7s data"#,
    output: "out.p7s",
    verify: r#"rm -rf other; mkdir -m 700 other; cp gnupg/trustlist.txt gnupg/gpgsm.conf other; export GNUPGHOME="$PWD/other"
gpgsm --batch --import "$CA"; gpgsm --batch --verify out.p7s data 2>verified
grep -F "Good signature from \"/CN=$SIGNER/" verified"#,
    spoil: "echo other >data",
    rows: &[rsa("CKM_RSA_PKCS")],
    shows: Shows::Last,
    heeds_cka_sign: true,
    rsa_signers_only: true,
    says: "error creating signature",
    cannot: &[gpg::RSA_ONLY],
    remark: "The same agent as for gpg; the certificate comes from the module, the authority stands in `trustlist.txt`. Some \
             signatures of gnupg-pkcs11-scd come out of gpgsm with a length that openssl refuses and gpgsm takes.",
    ..PLAIN
};
