//! The policy bundle and this host's memory of it: who vouches for the policy, since when, and until when.
//!
//! The verdict is the module's own, by `policy_cache`. Read next: `rules.rs`, for what the policy says.

use super::finding::{Finding, mended};
use jiff::{SignedDuration, Timestamp};
use signgate_pkcs11::{
    config::Config,
    platform,
    policy_cache::{Bundle, Loaded, Unusable, memory::Memory},
    trust::TrustError,
};
use std::sync::Arc;

/// Whether the policy is believed, and which of its files ends first.
pub fn policy(config: &Config, looked: &Result<Arc<Loaded>, Arc<Unusable>>, now: Timestamp) -> Vec<Finding> {
    let file = config.policy.display();
    let loaded = match looked {
        Ok(loaded) => loaded,
        Err(unusable) => {
            let denial = unusable.denial();
            let fix = mended(denial.next, || format!("correct `policy` in {}, or put it there", config.file.display()));
            return vec![Finding::fail("policy", format!("{}: {}", denial.reason, denial.detail)).fix(fix)];
        }
    };
    let bundle = &loaded.bundle;
    let versions = format!(
        "version {}; root {}, timestamp {} and snapshot {} are signed by enough keys",
        loaded.version, bundle.root, bundle.timestamp, bundle.snapshot
    );
    let believed = Finding::ok("policy", format!("`{file}`: {versions}"));
    vec![believed, lifetime(bundle, now)]
}

fn lifetime(bundle: &Bundle, now: Timestamp) -> Finding {
    let Bundle { expires_first: role, expires_at: at, .. } = bundle;
    let seen = format!("its {role} expires first, at {at}, in {}", span(at.duration_since(now)));
    if bundle.ends_soon {
        let next = TrustError::Expired { role: *role, at: *at, now }.next();
        Finding::warn("policy lifetime", format!("{seen}: less than a quarter of its life is left")).fix(next)
    } else {
        Finding::ok("policy lifetime", seen)
    }
}

fn span(left: SignedDuration) -> String {
    match left.as_hours() {
        hours @ ..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

/// Whether this host remembers what it has believed, so that nothing older is believed again.
pub fn memory(config: &Config) -> Vec<Finding> {
    let folder = &config.state;
    let check = "policy memory";
    let shown = folder.display();
    let state = match Memory::new(folder).recall() {
        Ok(state) => state,
        Err(error) => {
            let fix = format!("let this account read it, or restore {shown}/trusted.json from a backup");
            return vec![Finding::fail(check, error).fix(fix)];
        }
    };
    if let Err(why) = platform::try_folder(folder, true) {
        let seen = format!("`{shown}/trusted.json` can not be written by this account: {why}");
        return vec![Finding::fail(check, seen).fix(format!("add this account to the group of {shown}"))];
    }
    let version = |seen: Option<signgate_pkcs11::trust::Seen>| seen.map_or(0, |seen| seen.version);
    vec![match state.time {
        None => {
            Finding::ok(check, format!("nothing is remembered in `{shown}` yet: the first bundle needs the root alone"))
        }
        Some(time) => Finding::ok(
            check,
            format!(
                "`{shown}/trusted.json`: policy {}, root {}, timestamp {}, snapshot {}, last at {time}; nothing older \
                 counts any more",
                version(state.targets),
                version(state.root),
                version(state.timestamp),
                version(state.snapshot)
            ),
        ),
    }]
}
