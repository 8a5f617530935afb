//! Python: python-pkcs11 and PyKCS11, which hash or hand over the whole data as they are told.

use super::{Key, PLAIN, Row, Tool};

const PYTHON: Tool = Tool {
    need: "python-pkcs11",
    signs: "a file",
    verifier: "openssl dgst",
    output: "out.sig",
    spoil: "echo other >data",
    rows: &[
        Row { key: Key::Rsa, mechanism: "CKM_SHA256_RSA_PKCS", sign_with: "rsa", verify_with: "" },
        Row { key: Key::Ec, mechanism: "CKM_ECDSA", sign_with: "ec", verify_with: "" },
    ],
    says: "KEY_FUNCTION_NOT_PERMITTED",
    ..PLAIN
};

pub const PYTHON_PKCS11: Tool = Tool {
    name: "python-pkcs11",
    present: "python3 -c 'import pkcs11'",
    version: "python3 -c 'import importlib.metadata as m; print(m.version(\"python-pkcs11\"))'",
    sign: r#"cat >sign.py <<'END'
import hashlib, os, pkcs11, pkcs11.util.ec, sys
token = pkcs11.lib(os.environ["MODULE"]).get_token(token_label=os.environ["SIGNER"])
data = open("data", "rb").read()
with token.open(user_pin=os.environ["PIN"]) as session:
    key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=os.environ["SIGNER"])
    if sys.argv[1] == "rsa":
        signature = key.sign(data, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS)
    else:
        signature = pkcs11.util.ec.encode_ecdsa_signature(
            key.sign(hashlib.sha256(data).digest(), mechanism=pkcs11.Mechanism.ECDSA))
open("out.sig", "wb").write(signature)
END
python3 sign.py $SIGN_WITH"#,
    verify: r#"openssl dgst -sha256 -verify "$KEY" -signature out.sig data"#,
    heeds_cka_sign: true,
    says: "PKCS11Error: Unmapped error code 0x68",
    ..PYTHON
};

pub const PYKCS11: Tool = Tool {
    name: "PyKCS11",
    present: "python3 -c 'import PyKCS11'",
    version: "python3 -c 'import importlib.metadata as m; print(m.version(\"PyKCS11\"))'",
    sign: r#"cat >sign.py <<'END'
import hashlib, os, sys
from PyKCS11 import *
module = PyKCS11Lib()
module.load(os.environ["MODULE"])
slot = next(s for s in module.getSlotList(tokenPresent=True) if module.getTokenInfo(s).label.strip() == os.environ["SIGNER"])
data = open("data", "rb").read()
session = module.openSession(slot, CKF_SERIAL_SESSION)
session.login(os.environ["PIN"])
key = session.findObjects([(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_LABEL, os.environ["SIGNER"])])[0]
if sys.argv[1] == "rsa":
    signature = bytes(session.sign(key, data, Mechanism(CKM_SHA256_RSA_PKCS, None)))
else:
    signature = bytes(session.sign(key, hashlib.sha256(data).digest(), Mechanism(CKM_ECDSA, None)))
open("out.raw", "wb").write(signature)
END
python3 sign.py $SIGN_WITH && mv out.raw out.sig"#,
    verify: r#"if [ "$SIGN_WITH" = rsa ]; then cp out.sig out.der; else
  perl -e 'local $/; my $raw = <STDIN>; my $half = length($raw) / 2;
sub integer { my $n = shift; $n =~ s/^\0+//; $n = "\0$n" if ord($n) > 127; return "\2" . chr(length $n) . $n }
my $both = integer(substr $raw, 0, $half) . integer(substr $raw, $half); print "\x30" . chr(length $both) . $both' <out.sig >out.der
fi
openssl dgst -sha256 -verify "$KEY" -signature out.der data"#,
    says: "CKR_KEY_FUNCTION_NOT_PERMITTED (0x00000068)",
    ..PYTHON
};
