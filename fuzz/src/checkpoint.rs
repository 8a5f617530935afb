//! Checkpoints of the audit log, against a reading of the note by lines. What is read is what the first three lines say;
//! signed by the log's key it reads back, and with one number changed it does not. A verifier's key comes in the same
//! input, after a line `--`.

use super::{pen, text::one_line};
use signgate_pkcs11::audit::checkpoint::{Checkpoint, Signed, VerifyingKey};

/// The one log that the targets' key signs for.
const STORE: &str = "fuzz";

pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (note, key) = text.split_once("\n--\n").unwrap_or((text, ""));
    if let Ok(key) = VerifyingKey::read(key) {
        let _ = Checkpoint::read(note, Some(&key));
    }
    let own = VerifyingKey::read(&pen::notary().verifier(STORE)).expect("the key of the targets");
    if let Ok((checkpoint, signed)) = Checkpoint::read(note, Some(&own)) {
        assert_eq!(signed, Signed::By);
        let published = Checkpoint::new(STORE, 17, [3; 32]);
        assert_eq!(checkpoint, published, "a checkpoint that was never signed is believed");
    }
    let checkpoint = match Checkpoint::read(note, None) {
        Ok((checkpoint, _)) => checkpoint,
        Err(error) => {
            one_line(&error.to_string());
            return false;
        }
    };
    let mut lines = note.split('\n');
    assert_eq!(lines.next(), Some(checkpoint.origin.as_str()));
    assert_eq!(lines.next(), Some(checkpoint.size.to_string().as_str()));
    assert_eq!(lines.next(), Some(data_encoding::BASE64.encode(&checkpoint.root).as_str()));
    assert!(note.starts_with(&checkpoint.text()));
    assert_eq!(Checkpoint::read(&checkpoint.note(None), None).expect("what was written").0, checkpoint);
    let ours = Checkpoint::new(STORE, checkpoint.size, checkpoint.root);
    let signed = ours.note(Some(pen::notary()));
    assert_eq!(Checkpoint::read(&signed, Some(&own)).expect("signed just now"), (ours.clone(), Signed::By));
    let grown = Checkpoint::new(STORE, ours.size ^ 1, ours.root);
    let forged = signed.replacen(&ours.text(), &grown.text(), 1);
    assert!(Checkpoint::read(&forged, Some(&own)).is_err(), "another size under the same signature");
    true
}
