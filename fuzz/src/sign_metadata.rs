//! The file that signtool hands over, against serde_json's own tree. What is read names a signer and nothing else, says the
//! same to the other reader, and reads the same when written anew; what is refused says where, in one line.

use super::text::one_line;
use signgate_pkcs11::policy::{MAX_METADATA_SIZE, SignMetadata, is_name};

pub fn run(data: &[u8]) -> bool {
    let metadata = match SignMetadata::parse(data) {
        Ok(metadata) => metadata,
        Err(problem) => {
            one_line(&problem.to_string());
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&problem.position.line) && problem.position.column >= 1, "{problem}");
            return false;
        }
    };
    assert!(data.len() <= MAX_METADATA_SIZE && is_name(&metadata.signer));
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let tree: serde_json::Value = serde_json::from_slice(text).expect("JSON to another reader");
    let members = tree.as_object().expect("an object");
    assert_eq!(members["signer"], metadata.signer.as_str());
    let form = members.get("ecdsa_signature").map_or("p1363", |form| form.as_str().expect("a word"));
    assert_eq!(form, metadata.ecdsa_signature.name());
    assert_eq!(members.len(), 1 + usize::from(members.contains_key("ecdsa_signature")));
    let written = format!("{{\"ecdsa_signature\":\"{form}\",\"signer\":\"{}\"}}", metadata.signer);
    assert_eq!(SignMetadata::parse(written.as_bytes()), Ok(metadata));
    true
}
