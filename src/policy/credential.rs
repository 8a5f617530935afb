//! Service tokens written into the text of a policy, by their hashes, and taken away again. A token that is revoked stays
//! in the policy as disabled, so that whoever presents it is told what it is. Read next: `../cli/credential.rs`.

use super::{Policy, locate, source_edit::Text};
use data_encoding::HEXLOWER;
use jiff::Timestamp;

/// Digits that name a token well enough; more may be given.
const FEWEST_DIGITS: usize = 8;

/// The document with a service token more for a user.
///
/// # Errors
/// The document is not a usable policy, before or after, or has no such user.
pub fn add_credential(
    document: &[u8],
    user: &str,
    sha256: &[u8; 32],
    expires: Option<Timestamp>,
) -> Result<Vec<u8>, String> {
    let text = Text::of(document)?;
    let pointer = user_pointer(&text, user)?;
    let expires = expires.map(|end| format!(", \"expires\": \"{end}\"")).unwrap_or_default();
    let entry = format!("{{ \"sha256\": \"{}\"{expires} }}", HEXLOWER.encode(sha256));
    let list = format!("{pointer}/credentials");
    match text.place(&list) {
        Some(at) => {
            let is_empty = text.place(&format!("{list}/0")).is_none();
            text.with(at.saturating_add(1), 0, &format!("{entry}{}", if is_empty { "" } else { ", " }))
        }
        None => text.with_member(&pointer, "credentials", &format!("[{entry}]")),
    }
}

/// The document with a service token disabled, found by the first digits of its hash; and whose it was.
///
/// # Errors
/// The document is not a usable policy; no token has such a hash, or several have; it is disabled already.
pub fn disable_credential(document: &[u8], digits: &str) -> Result<(Vec<u8>, String), String> {
    let text = Text::of(document)?;
    let policy = Policy::parse(document).map_err(|error| error.to_string())?;
    let digits = digits.to_ascii_lowercase();
    if digits.len() < FEWEST_DIGITS {
        return Err(format!(
            "give at least {FEWEST_DIGITS} digits of the token's hash, as `signgate credential list` shows"
        ));
    }
    let mut found = policy.credentials.iter().filter(|(hash, _)| HEXLOWER.encode(&hash[..]).starts_with(&digits));
    let (hash, credential) = found.next().ok_or_else(|| format!("no service token's hash begins with `{digits}`"))?;
    if found.next().is_some() {
        return Err(format!("several hashes begin with `{digits}`; give more digits"));
    }
    let user = policy.users.get(credential.user).map_or("?", |(name, _)| &**name).to_owned();
    if credential.disabled {
        return Err(format!("this service token of `{user}` is disabled already"));
    }
    let list = format!("{}/credentials", user_pointer(&text, &user)?);
    let wanted = HEXLOWER.encode(&hash[..]);
    let entry = (0_usize..)
        .map(|position| format!("{list}/{position}"))
        .take_while(|entry| text.place(entry).is_some())
        .find(|entry| {
            text.string(&format!("{entry}/sha256")).is_some_and(|sha256| sha256.eq_ignore_ascii_case(&wanted))
        })
        .ok_or_else(|| "the policy has another shape than expected".to_owned())?;
    let flag = format!("{entry}/disabled");
    let new = match text.place(&flag) {
        // It says false, else it would be disabled.
        Some(at) => text.with(at, "false".len(), "true"),
        None => text.with_member(&entry, "disabled", "true"),
    };
    Ok((new?, user))
}

fn user_pointer(text: &Text<'_>, user: &str) -> Result<String, String> {
    let mut pointer = "/users".to_owned();
    locate::push(&mut pointer, user);
    match text.place(&pointer) {
        Some(_) => Ok(pointer),
        None => Err(format!("the policy has no user `{}`", user.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CredentialState;

    const SOURCE: &str = r#"{ "schema": "signgate.policy/1", "id": "acme",
  "users": { "ci":  { "kind": "service_user" }, "bob": {}, "old": { "credentials": [ ] } } }"#;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn state(document: &[u8], hash: &[u8; 32]) -> Option<(String, CredentialState)> {
        let policy = Policy::parse(document).unwrap();
        let (id, state) = policy.principal_of_credential(hash, now())?;
        Some((policy.principal_name(id).to_owned(), state))
    }

    #[test]
    fn a_token_is_added_to_whatever_a_user_has_and_the_rest_stays() {
        for user in ["ci", "bob", "old"] {
            let end = Some("2026-09-01T00:00:00Z".parse().unwrap());
            let one = add_credential(SOURCE.as_bytes(), user, &[0xab; 32], end).unwrap();
            let two = add_credential(&one, user, &[0xcd; 32], None).unwrap();
            for hash in [[0xab; 32], [0xcd; 32]] {
                assert_eq!(state(&two, &hash), Some((user.to_owned(), CredentialState::Valid)), "{user}");
            }
            let text = String::from_utf8(two).unwrap();
            assert!(text.contains("\"ci\":  {") && text.contains("\"expires\": \"2026-09-01T00:00:00Z\""), "{text}");
        }
    }

    #[test]
    fn a_revoked_token_stays_as_a_disabled_one() {
        let added = add_credential(SOURCE.as_bytes(), "ci", &[0xab; 32], None).unwrap();
        let (revoked, user) = disable_credential(&added, "ABABABAB").unwrap();
        assert_eq!((user.as_str(), state(&revoked, &[0xab; 32]).unwrap().1), ("ci", CredentialState::Disabled));
        assert!(disable_credential(&revoked, "abababab").unwrap_err().contains("disabled already"));
        let said_false = String::from_utf8(added).unwrap().replace("{ \"sha256\"", "{ \"disabled\": false, \"sha256\"");
        let (revoked, _) = disable_credential(said_false.as_bytes(), "abababab").unwrap();
        assert_eq!(state(&revoked, &[0xab; 32]).unwrap().1, CredentialState::Disabled);
    }

    #[test]
    fn what_is_not_there_can_be_neither_given_nor_taken() {
        assert!(add_credential(SOURCE.as_bytes(), "nobody", &[1; 32], None).unwrap_err().contains("`nobody`"));
        assert!(add_credential(b"{}", "ci", &[1; 32], None).is_err());
        let one = add_credential(SOURCE.as_bytes(), "ci", &[0xab; 32], None).unwrap();
        let mut near = [0xab; 32];
        near[31] = 0xac;
        let two = add_credential(&one, "bob", &near, None).unwrap();
        for (digits, words) in [("abab", "at least 8"), ("abababac", "no service token"), ("abababab", "several")] {
            assert!(disable_credential(&two, digits).unwrap_err().contains(words), "{digits}");
        }
        assert!(add_credential(&one, "bob", &[0xab; 32], None).unwrap_err().contains("twice"));
    }
}
