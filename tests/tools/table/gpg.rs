//! gpg, whose agent reaches the key through gnupg-pkcs11-scd; the agent's helpers hide what the gate says. What is
//! prepared here serves `gpgsm.rs` and `rpmsign.rs` too.

use super::{ALWAYS, Cannot, Key, Shows, Tool, rsa};

/// Starts an agent with the smart-card daemon of PKCS #11, and has it learn the keys. In the place of a person there is
/// a program that answers with the PIN.
macro_rules! agent {
    () => {
        r#"mkdir -m 700 gnupg; export GNUPGHOME="$PWD/gnupg"
printf 'providers signgate\nprovider-signgate-library %s\n' "$MODULE" >gnupg/gnupg-pkcs11-scd.conf
PINENTRY=$(mktemp); chmod 700 "$PINENTRY"; cat >"$PINENTRY" <<END
#!/bin/sh
echo OK
while read -r word rest; do
  case "\$word" in
    GETPIN) echo "D $PIN"; echo OK ;;
    BYE) echo OK; exit 0 ;;
    *) echo OK ;;
  esac
done
END
printf 'scdaemon-program %s\npinentry-program %s\n' "$(command -v gnupg-pkcs11-scd)" "$PINENTRY" >gnupg/gpg-agent.conf
echo disable-crl-checks >gnupg/gpgsm.conf
gpgsm --batch --learn-card 2>learn.log || { cat learn.log >&2; exit 1; }
"#
    };
}
pub(super) use agent;

/// Makes the OpenPGP key: gpg signs it with itself.
macro_rules! openpgp_key {
    () => {
        r#"GRIP=$(gpg-connect-agent 'SCD LEARN' /bye | sed -n "s/^S KEY-FRIEDNLY \([0-9A-F]*\) .* on $SIGNER$/\1/p")
printf 'Key-Type: RSA\nKey-Grip: %s\nKey-Usage: sign,cert\nName-Real: %s\n%%commit\n' "$GRIP" "$SIGNER" >key.txt
gpg --batch --full-generate-key key.txt
gpg --export >public.gpg; gpg --armor --export >public.asc
"#
    };
}
pub(super) use openpgp_key;

/// Why none of the three signs with EC.
pub const RSA_ONLY: Cannot = Cannot { key: Some(Key::Ec), why: "gnupg-pkcs11-scd offers RSA keys only", ..ALWAYS };

pub const GPG: Tool = Tool {
    name: "gpg",
    need: "gpg",
    signs: "a file",
    verifier: "gpgv with the public key alone",
    present: "command -v gpg && command -v gpgsm && command -v gnupg-pkcs11-scd && command -v gpgv",
    version: "gpg --version | sed -n '1s/.* //p'",
    prepare: concat!(agent!(), openpgp_key!()),
    prepare_signs: 2,
    sign: r#"export GNUPGHOME="$PWD/gnupg"
gpg --batch --yes -u "$SIGNER" --detach-sign -o out.gpg data"#,
    output: "out.gpg",
    verify: "gpgv --keyring ./public.gpg out.gpg data",
    spoil: "echo other >data",
    rows: &[rsa("CKM_RSA_PKCS")],
    shows: Shows::Last,
    heeds_cka_sign: true,
    rsa_signers_only: true,
    says: "signing failed",
    cannot: &[RSA_ONLY],
    remark: "The agent's `scdaemon-program` is gnupg-pkcs11-scd, whose configuration names the module; \
             `gpgsm --learn-card` tells the agent of the keys, and `gpg --full-generate-key` with `Key-Grip` makes the \
             OpenPGP key. The agent asks for the PIN by pinentry. GnuPG 2.4 asks the \
             daemon for ever, with any module, where it shows an EC certificate: let the caller see RSA signers only.",
};
