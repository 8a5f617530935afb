//! Another status for a key pair, written into the text of a policy. Loose files can only grant, so what takes a key
//! pair away stands in the signed policy. Read next: `../cli/keypair.rs`.

use super::{locate, model::KeypairStatus, source_edit::Text};

/// The document with this status for a key pair.
///
/// # Errors
/// The document is not a usable policy, before or after, or has no such key pair.
pub fn set_keypair_status(document: &[u8], keypair: &str, status: KeypairStatus) -> Result<Vec<u8>, String> {
    let text = Text::of(document)?;
    let mut pointer = "/keypairs".to_owned();
    locate::push(&mut pointer, keypair);
    if text.place(&pointer).is_none() {
        return Err(format!("the policy has no key pair `{}`", keypair.escape_debug()));
    }
    let of_status = format!("{pointer}/status");
    match text.with_string(&of_status, status.name()) {
        Some(changed) => changed,
        None => text.with_member(&pointer, "status", &format!("\"{status}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, fixture};

    #[test]
    fn the_rest_of_the_text_stays_as_its_author_wrote_it() {
        let text = format!(
            "{{ \"schema\": \"signgate.policy/1\", \"id\": \"acme\",\n  \"keypairs\": {{\n    \"ä-no\": {{}},\n    \"k\": {{ \"token\":\"t\", \"public_key\": {} }} }} }}",
            serde_json::Value::from(fixture::P256)
        )
        .replace("    \"ä-no\": {},\n", "");
        let suspended = set_keypair_status(text.as_bytes(), "k", KeypairStatus::Suspended).unwrap();
        let expected = text.replace("\"k\": {", "\"k\": { \"status\": \"suspended\",");
        assert_eq!(String::from_utf8(suspended.clone()).unwrap(), expected);
        let online = set_keypair_status(&suspended, "k", KeypairStatus::Online).unwrap();
        assert_eq!(String::from_utf8(online).unwrap(), expected.replace("suspended", "online"));
    }

    #[test]
    fn an_unknown_key_pair_or_a_wrong_policy_is_refused() {
        let document = fixture::document().to_string();
        assert!(
            set_keypair_status(document.as_bytes(), "none", KeypairStatus::Suspended).unwrap_err().contains("`none`")
        );
        assert!(set_keypair_status(b"{}", "k", KeypairStatus::Suspended).is_err());
        let suspended = set_keypair_status(document.as_bytes(), "rsa", KeypairStatus::Suspended).unwrap();
        let policy = Policy::parse(&suspended).unwrap();
        assert_eq!(policy.signer("rsa").unwrap().keypair_status(), KeypairStatus::Suspended);
        assert_eq!(policy.signer("direct").unwrap().keypair_status(), KeypairStatus::Online);
    }
}
