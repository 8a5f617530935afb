//! SSH signatures against OpenSSH: what `ssh-keygen -Y sign` makes is believed, and of thousands of changed signatures
//! none is believed that `ssh-keygen -Y verify` refuses. Where this side alone refuses, the reason is one of a short
//! list. `SIGNGATE_MUTATIONS` sets how many changed signatures are tried.

use crate::{
    approver::armor,
    oracle::{lacks, mutations},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use signgate_pkcs11::trust::{
    ssh_key::{SshKeyError, SshPublicKey},
    sshsig::{SshSigError, verify},
};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const NAMESPACE: &str = "signgate-approval@v1";
const MESSAGE: &[u8] = b"{\"approver\":\"alice\"}";

/// Kinds of keys by the arguments of `ssh-keygen -t`, and the smallest of RSA.
const KINDS: [(&str, &[&str]); 6] = [
    ("ed25519", &["-t", "ed25519"]),
    ("p256", &["-t", "ecdsa", "-b", "256"]),
    ("p384", &["-t", "ecdsa", "-b", "384"]),
    ("p521", &["-t", "ecdsa", "-b", "521"]),
    ("rsa3072", &["-t", "rsa", "-b", "3072"]),
    ("rsa4096", &["-t", "rsa", "-b", "4096"]),
];

/// A key of OpenSSH's making, its signature over the message, and the file that lets it verify.
struct Signed {
    folder: tempfile::TempDir,
    blob: Vec<u8>,
    signature: String,
}

fn signed(arguments: &[&str]) -> Signed {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let made =
        Command::new("ssh-keygen").args(arguments).args(["-q", "-N", "", "-C", "alice", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let signature = sign_with(&key, NAMESPACE);
    let line = fs::read_to_string(key.with_extension("pub")).unwrap();
    fs::write(folder.path().join("allowed"), format!("alice {line}")).unwrap();
    let blob = data_encoding::BASE64.decode(line.split(' ').nth(1).unwrap().as_bytes()).unwrap();
    Signed { folder, blob, signature }
}

fn sign_with(key: &Path, namespace: &str) -> String {
    let mut signer = Command::new("ssh-keygen");
    signer.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key);
    String::from_utf8(fed(&mut signer, MESSAGE).1).unwrap()
}

fn fed(command: &mut Command, input: &[u8]) -> (bool, Vec<u8>) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // It may refuse before it has read.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout)
}

impl Signed {
    /// What OpenSSH says of a signature.
    fn openssh_believes(&self, signature: &str) -> bool {
        let file = self.folder.path().join("sig");
        fs::write(&file, signature).unwrap();
        let mut verifier = Command::new("ssh-keygen");
        verifier.args(["-Y", "verify", "-n", NAMESPACE, "-I", "alice", "-f"]).arg(self.folder.path().join("allowed"));
        fed(verifier.arg("-s").arg(file), MESSAGE).0
    }

    /// What we say of it, as an approval of the one key that is allowed.
    fn outcome(&self, signature: &str) -> Result<(), Option<SshSigError>> {
        match verify(signature, NAMESPACE, MESSAGE) {
            Ok(signer) if signer.key_blob == self.blob => Ok(()),
            Ok(_) => Err(None),
            Err(error) => Err(Some(error)),
        }
    }

    fn signature_blob(&self) -> Vec<u8> {
        let body: String = self.signature.lines().filter(|line| !line.starts_with("-----")).collect();
        data_encoding::BASE64.decode(body.as_bytes()).unwrap()
    }
}

#[test]
fn what_openssh_signs_is_believed_for_every_kind_of_key() {
    if lacks("ssh", "ssh", &["-V"]) {
        return;
    }
    for (name, arguments) in KINDS {
        let signed = signed(arguments);
        let signer = verify(&signed.signature, NAMESPACE, MESSAGE).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(signer.key_blob, signed.blob);
        assert!(!signer.security_key);
        assert!(verify(&signed.signature, NAMESPACE, b"another").is_err());
        let listed = Command::new("ssh-keygen").arg("-lf").arg(signed.folder.path().join("key.pub")).output().unwrap();
        assert!(String::from_utf8(listed.stdout).unwrap().contains(&signer.fingerprint), "{name}");
        let git = sign_with(&signed.folder.path().join("key"), "git");
        assert!(matches!(verify(&git, NAMESPACE, MESSAGE), Err(SshSigError::Namespace { .. })));
    }
}

#[test]
fn keys_that_openssh_takes_and_we_do_not() {
    if lacks("ssh", "ssh", &["-V"]) {
        return;
    }
    let weak = signed(&["-t", "rsa", "-b", "2048"]);
    assert!(weak.openssh_believes(&weak.signature), "control");
    assert_eq!(weak.outcome(&weak.signature), Err(Some(SshSigError::Key(SshKeyError::RsaSize(2048)))));
    let line = fs::read_to_string(weak.folder.path().join("key.pub")).unwrap();
    assert_eq!(SshPublicKey::from_line(&line), Err(SshKeyError::RsaSize(2048)));
}

/// One way of changing a signature.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Text(prop::sample::Index, char),
    Nothing,
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        6 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        3 => (at(), prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff])).prop_map(|(at, value)| Change::Set(at, value)),
        1 => at().prop_map(Change::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Change::Append),
        2 => (at(), any::<u8>()).prop_map(|(at, value)| Change::Insert(at, value)),
        2 => at().prop_map(Change::Remove),
        2 => (at(), prop::sample::select(vec!['\n', ' ', '\r', '=', '-', 'A', '\t', 'z'])).prop_map(|(at, to)| Change::Text(at, to)),
        1 => Just(Change::Nothing),
    ]
}

fn apply(change: &Change, blob: &[u8], text: &str) -> String {
    let mut bytes = blob.to_vec();
    match change {
        Change::Flip(at, bit) => bytes[at.index(blob.len())] ^= 1 << bit,
        Change::Set(at, value) => bytes[at.index(blob.len())] = *value,
        Change::Cut(at) => bytes.truncate(at.index(blob.len())),
        Change::Append(tail) => bytes.extend_from_slice(tail),
        Change::Insert(at, value) => bytes.insert(at.index(blob.len()), *value),
        Change::Remove(at) => drop(bytes.remove(at.index(blob.len()))),
        Change::Nothing => {}
        Change::Text(at, to) => {
            let mut text: Vec<char> = text.chars().collect();
            let at = at.index(text.len());
            text[at] = *to;
            return text.into_iter().collect();
        }
    }
    armor(&bytes)
}

#[test]
fn no_changed_signature_is_believed_that_openssh_refuses() {
    if lacks("ssh", "ssh", &["-V"]) {
        return;
    }
    let count = mutations();
    let threads: Vec<_> = KINDS
        .into_iter()
        .take(5)
        .enumerate()
        .map(|(number, (name, arguments))| {
            std::thread::spawn(move || compare(name, arguments, count.div_ceil(5), u8::try_from(number).unwrap()))
        })
        .collect();
    let (believed, stricter) = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!(
        "{count} changed signatures: both believe {believed}, only OpenSSH believes {stricter}, both refuse the rest"
    );
    assert!(believed > 0, "some changes are none");
}

/// How many both believe, and how many only OpenSSH does.
fn compare(name: &str, arguments: &[&str], count: usize, seed: u8) -> (usize, usize) {
    let signed = signed(arguments);
    let blob = signed.signature_blob();
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let (mut believed, mut stricter) = (0, 0);
    for _ in 0..count {
        let change = changes().new_tree(&mut runner).unwrap().current();
        let changed = apply(&change, &blob, &signed.signature);
        match (signed.outcome(&changed), signed.openssh_believes(&changed)) {
            (Ok(()), true) => believed += 1,
            (Err(_), false) => {}
            (Ok(()), false) => panic!("{name}: {change:?} is believed here alone"),
            (Err(Some(error)), true) if is_known_strictness(&error) => stricter += 1,
            (Err(error), true) => panic!("{name}: {change:?} is refused here alone: {error:?}"),
        }
    }
    (believed, stricter)
}

/// OpenSSH skips white space in the armour and bytes after it, takes version 0 for 1, and integers with zeros in front.
fn is_known_strictness(error: &SshSigError) -> bool {
    matches!(
        error,
        SshSigError::Armor | SshSigError::Version(0) | SshSigError::Key(SshKeyError::Malformed("signature value"))
    )
}
