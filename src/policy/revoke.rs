//! One more revocation in a policy document, written into the text as it is: order, indentation and everything else
//! that its author wrote stays. Read next: `../cli/revoke.rs`.

use super::source_edit::Text;

/// The document with a revocation of this grant, which comes first in the list.
///
/// # Errors
/// The document is not a usable policy, before or after.
pub fn revoke_grant(document: &[u8], grant: &str, reason: Option<&str>) -> Result<Vec<u8>, String> {
    let text = Text::of(document)?;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let reason = reason.map(|reason| format!(", \"reason\": {}", quoted(reason))).unwrap_or_default();
    let entry = format!("{{ \"grant\": {}{reason} }}", quoted(grant));
    match text.place("/revocations") {
        Some(list) => {
            let is_empty = text.place("/revocations/0").is_none();
            text.with(list.saturating_add(1), 0, &format!("{entry}{}", if is_empty { "" } else { ",\n    " }))
        }
        // A usable policy has members.
        None => text.with_member("", "revocations", &format!("[{entry}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const ID: &str = "rq-0123456789abcdef";

    fn revoked(document: &str) -> String {
        String::from_utf8(revoke_grant(document.as_bytes(), ID, Some("stolen \"laptop\"")).unwrap()).unwrap()
    }

    #[test]
    fn the_rest_of_the_text_stays_as_its_author_wrote_it() {
        let document = "{ \"schema\": \"signgate.policy/1\",\n\n  \"id\":\"ä\"}".replace('ä', "acme");
        let new = revoked(&document);
        let entry = r#"{ "grant": "rq-0123456789abcdef", "reason": "stolen \"laptop\"" }"#;
        assert_eq!(new, document.replacen('{', &format!("{{\n  \"revocations\": [{entry}],"), 1));
    }

    #[test]
    fn a_second_revocation_joins_the_first() {
        let document = "{\"schema\": \"signgate.policy/1\", \"id\": \"acme\", \"revocations\": [ ]}";
        let twice = revoked(&revoked(document));
        assert_eq!(twice.matches(ID).count(), 2);
        let policy = Policy::parse(twice.as_bytes()).unwrap();
        assert_eq!(policy.revoked.short_grants.len(), 1);
    }

    #[test]
    fn a_wrong_id_or_a_wrong_policy_is_refused() {
        let good = b"{\"schema\": \"signgate.policy/1\", \"id\": \"acme\"}";
        assert!(revoke_grant(good, "rq-1", None).is_err());
        assert!(revoke_grant(b"{}", ID, None).is_err());
        assert!(revoke_grant(b"\xff", ID, None).is_err());
    }
}
