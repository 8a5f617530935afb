//! pesign, for UEFI Secure Boot, with NSS. It asks for the PIN on the terminal, so it is given one.

use super::{ALWAYS, Cannot, Key, PLAIN, Tool, rsa};

pub const PESIGN: Tool = Tool {
    name: "pesign",
    need: "pesign",
    signs: "an EFI program",
    verifier: "sbverify",
    present: "command -v pesign && command -v modutil && command -v certutil && command -v sbverify",
    version: "dpkg-query -W -f '${Version}' pesign | sed 's/-.*//'",
    prepare: r#"cp program.efi in.efi; mkdir nss; certutil -N -d nss --empty-password
modutil -dbdir nss -force -add signgate -libfile "$MODULE"
cat >answer.py <<'END'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
heard, asked = b"", 0
while asked < 3:
    try:
        heard += os.read(terminal, 4096)
    except OSError:
        break
    sys.stderr.buffer.write(heard); sys.stderr.flush()
    if b"assword" in heard and heard.rstrip().endswith(b":"):
        os.write(terminal, os.environ["PIN"].encode() + b"\n"); asked += 1
    heard = heard[heard.rfind(b"\n") + 1:] if asked == 0 else b""
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END"#,
    sign: r#"python3 answer.py pesign -n nss -t "$SIGNER" -c "$SIGNER" -s -i in.efi -o out.efi"#,
    output: "out.efi",
    verify: r#"sbverify --list out.efi | grep -F "CN=$SIGNER"
sbverify --cert "$CA" out.efi"#,
    spoil: "printf X | dd of=out.efi bs=1 seek=513 conv=notrunc",
    rows: &[rsa("CKM_RSA_PKCS or CKM_SHA256_RSA_PKCS")],
    says: "error signing data: Unknown PKCS #11 error.",
    cannot: &[Cannot { key: Some(Key::Ec), why: "UEFI Secure Boot takes RSA only, and so does pesign", ..ALWAYS }],
    remark: "pesign asks for the PIN on the terminal; in the tests `answer.py` is the terminal.",
    ..PLAIN
};
