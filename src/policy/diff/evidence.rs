//! What makes users known, compared: accounts, service tokens, issuers and their keys, claims.

use super::{Effect, Found};
use crate::policy::index::{Policy, User};
use std::collections::BTreeSet;

/// The account of one user.
pub(super) fn of_account(name: &str, was: &User, user: &User, found: &mut Found) {
    let named = |account: &Option<Box<str>>| account.as_deref().unwrap_or("nobody").to_owned();
    for (what, was, now) in [("os_user", &was.os_user, &user.os_user), ("os_group", &was.os_group, &user.os_group)] {
        if was != now {
            let effect = if now.is_some() { Effect::Weakens } else { Effect::Strengthens };
            found.add(effect, format!("`{name}` is {what} {} → {}", named(was), named(now)));
        }
    }
    match (was.two_factors, user.two_factors) {
        (true, false) => found.add(Effect::Weakens, format!("`{name}` needs no two factors any more")),
        (false, true) => found.add(Effect::Strengthens, format!("`{name}` needs two factors")),
        _ => {}
    }
}

/// Service tokens, issuers, claims.
pub(super) fn changes(old: &Policy, new: &Policy, found: &mut Found) {
    found.set(&service_tokens(old), &service_tokens(new), "calls count by", "calls no longer count by");
    found.set(&keys(old), &keys(new), "ID tokens count by", "ID tokens no longer count by");
    found.set(&claims(old), &claims(new), "ID tokens stand for", "ID tokens no longer stand for");
}

fn service_tokens(policy: &Policy) -> BTreeSet<String> {
    let usable = policy.credentials.iter().filter(|(_, credential)| !credential.disabled);
    let shown = usable.map(|(hash, credential)| {
        let name = policy.users.get(credential.user).map_or("?", |(name, _)| &**name);
        let start = data_encoding::HEXLOWER.encode(hash.get(..4).unwrap_or_default());
        let end = credential.expires.map(|end| format!(" until {end}")).unwrap_or_default();
        format!("`{name}` with the service token {start}…{end}")
    });
    shown.collect()
}

/// A key counts with its issuer's audience and limits: another of them is another way in.
fn keys(policy: &Policy) -> BTreeSet<String> {
    let usable = policy.issuers().filter(|issuer| !issuer.is_disabled());
    let of = |issuer: crate::policy::IssuerRef<'_>| {
        let limits = format!(
            "for {}, living at most {}s, leeway {}s",
            issuer.audience().join(" or "),
            issuer.max_lifetime(),
            issuer.leeway()
        );
        let shown = issuer.keys().map(|key| {
            let id = key.key.id().to_string();
            let start = id.get(..8).unwrap_or_default();
            format!("`{}` with the key {} ({}, {start}…) {limits}", issuer.url(), key.kid, key.algorithm)
        });
        shown.collect::<Vec<_>>()
    };
    usable.flat_map(of).collect()
}

fn claims(policy: &Policy) -> BTreeSet<String> {
    let of = |principal| {
        let name = policy.principal_name(principal).to_owned();
        let his = policy.oidc_identities(principal).into_iter();
        his.map(move |(issuer, claims)| format!("`{name}` by {} of `{issuer}`", claims.join(" and ")))
    };
    policy.principals().flat_map(of).collect()
}
