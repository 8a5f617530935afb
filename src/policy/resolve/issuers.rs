//! What `issuers` and `users.NAME.oidc` stand for: keys that verify, and claims that make users known. What would make
//! everybody known whom an issuer vouches for is refused. Read next: `../issuer.rs`.

use super::{Misfits, missing};
use crate::policy::{
    directory::Directory,
    issuer::{Binding, Issuer, IssuerKey, MOST_LEEWAY, USUAL_LEEWAY, USUAL_LIFETIME, public_key},
    model,
    value::{Name, Object, Span},
};
use std::collections::HashSet;

/// Claims that say when and for whom a token is, not who bears it.
const NOBODYS: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// A user who is known by an issuer's tokens.
pub(super) struct Claimant {
    pub number: u32,
    pub name: Name,
    /// In the list of the user.
    pub position: usize,
    pub identity: model::OidcIdentity,
}

/// The issuers, without whom they make known.
pub(super) fn issuers(issuers: Directory<model::Issuer>, misfits: &mut Misfits) -> Directory<Issuer> {
    let mut urls = HashSet::new();
    issuers.map(|_, name, issuer| {
        let path = |member| ["issuers", name, member];
        // Compared to the letter with what tokens say, as RFC 7519, section 4.1.1, has it.
        if !issuer.issuer.starts_with("https://") {
            let hint = "write the `iss` of its tokens, which begins with `https://`".to_owned();
            misfits.add(&path("issuer"), "not the address of an issuer", Some(hint));
        } else if !urls.insert(issuer.issuer.clone()) {
            misfits.add(&path("issuer"), "another issuer has the same address", Some("keep one of the two".to_owned()));
        }
        if issuer.audience.is_empty() || issuer.audience.iter().any(String::is_empty) {
            let hint = "name what its tokens for this gate say in `aud`, such as `signgate`".to_owned();
            misfits.add(&path("audience"), "nobody its tokens could be meant for", Some(hint));
        }
        let Object(set) = issuer.jwks;
        if set.keys.is_empty() {
            misfits.add(&path("jwks"), "no key", Some("paste the JWK Set that the issuer publishes".to_owned()));
        }
        let mut kids = HashSet::new();
        let keys = set.keys.into_iter().enumerate().filter_map(|(position, Object(jwk))| {
            let position = position.to_string();
            let place = ["issuers", name, "jwks", "keys", &position];
            if jwk.kid.is_empty() || !kids.insert(jwk.kid.clone()) {
                let hint = "each key needs a `kid` of its own".to_owned();
                misfits.add(&place, format!("the `kid` `{}` is empty or stands twice", jwk.kid), Some(hint));
            }
            match public_key(&jwk) {
                Ok(key) => Some(IssuerKey { kid: jwk.kid.into_boxed_str(), algorithm: jwk.alg, key }),
                Err(what) => {
                    misfits.add(&place, format!("not a key for {}: {what}", jwk.alg), None);
                    None
                }
            }
        });
        let keys = keys.collect();
        let leeway = issuer.leeway.map_or(USUAL_LEEWAY, |Span(seconds)| seconds);
        if leeway > MOST_LEEWAY {
            let hint = "clocks that differ more must be set".to_owned();
            misfits.add(&path("leeway"), format!("more than {MOST_LEEWAY} seconds"), Some(hint));
        }
        Issuer {
            url: issuer.issuer.into_boxed_str(),
            audience: issuer.audience.into_boxed_slice(),
            keys,
            max_lifetime: issuer.max_lifetime.map_or(USUAL_LIFETIME, |Span(seconds)| seconds),
            leeway,
            disabled: issuer.disabled,
            bindings: Vec::new(),
        }
    })
}

/// Whom they make known.
pub(super) fn enter(claimants: Vec<Claimant>, issuers: &mut Directory<Issuer>, misfits: &mut Misfits) {
    for Claimant { number, name, position, identity } in claimants {
        let position = position.to_string();
        let path = |member| ["users", &*name, "oidc", &*position, member];
        let model::Claims(claims) = identity.claims;
        if claims.is_empty() {
            let hint = "name the claims that only this user's tokens have, such as `repository_id`".to_owned();
            misfits.add(&path("claims"), "everybody whom the issuer vouches for", Some(hint));
        }
        for (claim, texts) in &claims {
            if NOBODYS.contains(&claim.as_str()) || claim.is_empty() {
                let hint = "`issuers` says what these must be".to_owned();
                misfits.add(
                    &path("claims"),
                    format!("`{}` does not say who bears a token", claim.escape_debug()),
                    Some(hint),
                );
            }
            if texts.is_empty() || texts.iter().any(String::is_empty) {
                misfits.add(&path("claims"), format!("`{}` may be nothing", claim.escape_debug()), None);
            }
        }
        let claims = claims.into_iter().map(|(claim, texts)| (claim.into_boxed_str(), texts.into_boxed_slice()));
        let binding = Binding { user: number, claims: claims.collect() };
        match issuers.number(&identity.issuer) {
            Some(issuer) => {
                if let Some(issuer) = issuers.get_mut(issuer) {
                    issuer.bindings.push(binding);
                }
            }
            None => {
                let (message, hint) = missing("issuer", &identity.issuer, issuers);
                misfits.add(&path("issuer"), message, hint);
            }
        }
    }
}
