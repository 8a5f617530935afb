//! OpenSSH: ssh-keygen and git, both through ssh-agent. The agent's helper loads the module, so its stderr reaches nobody.

use super::{PLAIN, Shows, Tool, ec, rsa};

/// The PIN comes from a program of the user's, which ssh-add starts; the agent ends with the command inside.
const PREPARE: &str = r#"ssh-keygen -i -m PKCS8 -f "$KEY" >signer.pub
printf 'signer@example.org %s\n' "$(cat signer.pub)" >allowed
ASKPASS=$(mktemp) && printf '#!/bin/sh\nprintf "%%s\\n" "$PIN"\n' >"$ASKPASS" && chmod 700 "$ASKPASS" && echo "$ASKPASS" >askpass"#;

const OPENSSH: Tool = Tool {
    need: "ssh",
    verifier: "ssh-keygen -Y verify",
    prepare: PREPARE,
    rows: &[rsa("CKM_RSA_PKCS"), ec("CKM_ECDSA")],
    shows: Shows::Last,
    ..PLAIN
};

pub const SSH_KEYGEN: Tool = Tool {
    name: "ssh-keygen -Y sign",
    signs: "a file",
    present: "command -v ssh-keygen && command -v ssh-agent && command -v ssh-add",
    version: "ssh -V 2>&1 | sed 's/OpenSSH_\\([^ ,]*\\).*/\\1/'",
    sign: r#"export SSH_ASKPASS="$(cat askpass)" SSH_ASKPASS_REQUIRE=force
ssh-agent -P "$MODULE" sh -c 'ssh-add -s "$MODULE" && ssh-keygen -Y sign -f signer.pub -n file data'"#,
    output: "data.sig",
    verify: "ssh-keygen -Y verify -f allowed -I signer@example.org -n file -s data.sig <data",
    spoil: "echo other >data",
    says: "agent refused operation",
    ..OPENSSH
};

pub const GIT: Tool = Tool {
    name: "git commit -S",
    need: "git",
    signs: "a commit",
    verifier: "git verify-commit",
    present: "command -v git && command -v ssh-agent && command -v ssh-add",
    version: "git version | cut -d ' ' -f 3",
    prepare: concat!(
        r#"git init -q repository && git -C repository config user.name signer && git -C repository config user.email signer@example.org
git -C repository config gpg.format ssh && cp data repository/data && git -C repository add data
"#,
        r#"ssh-keygen -i -m PKCS8 -f "$KEY" >signer.pub
printf 'signer@example.org %s\n' "$(cat signer.pub)" >allowed
ASKPASS=$(mktemp) && printf '#!/bin/sh\nprintf "%%s\\n" "$PIN"\n' >"$ASKPASS" && chmod 700 "$ASKPASS" && echo "$ASKPASS" >askpass"#
    ),
    sign: r#"export SSH_ASKPASS="$(cat askpass)" SSH_ASKPASS_REQUIRE=force
ssh-agent -P "$MODULE" sh -c 'ssh-add -s "$MODULE" &&
  git -C repository -c user.signingkey="key::$(cat signer.pub)" commit -q --allow-empty -S -m signed'
git -C repository cat-file commit HEAD >out.commit"#,
    output: "out.commit",
    verify: r#"git -C repository -c gpg.ssh.allowedSignersFile="$PWD/allowed" verify-commit "$(git -C repository hash-object -t commit -w --stdin <out.commit)""#,
    spoil: "sed -i 's/^signed$/other/' out.commit",
    says: "agent refused operation",
    ..OPENSSH
};
