//! The HSM behind the gate: its module, its tokens, their PINs, and the key of each signer.
//!
//! Looks through the same narrow door as a signature does (`backend`), up to but never including C_SignInit.

use super::finding::Finding;
use signgate_pkcs11::{
    backend::{FoundBy, Hsm, ModuleSeen, Proof, TokenSeen},
    config::{Config, TokenConfig, TokenSelector},
    gate::token::{SoughtKey, TokenError},
    policy::{Policy, SignerRef},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The HSM as it was found.
pub struct Tokens {
    module: PathBuf,
    hsm: Hsm,
    tokens: BTreeMap<String, TokenConfig>,
    seen: Result<ModuleSeen, TokenError>,
    /// Names of the tokens whose PIN works.
    open: BTreeMap<String, Result<(), TokenError>>,
}

impl Tokens {
    /// Loads the module and logs in to each token once.
    pub fn of(config: &Config) -> Tokens {
        let hsm = Hsm::new(config.backend_module.clone(), config.tokens.clone());
        let seen = hsm.look();
        let names = config.tokens.keys().filter(|_| seen.is_ok());
        let open = names.map(|name| (name.clone(), hsm.try_pin(name))).collect();
        Tokens { module: config.backend_module.clone(), hsm, tokens: config.tokens.clone(), seen, open }
    }

    /// The module and each token.
    pub fn findings(&self) -> Vec<Finding> {
        let file = self.module.display();
        let seen = match &self.seen {
            Ok(seen) => seen,
            Err(error) => {
                let fix = "correct `backend.module` in the configuration, or install the HSM's client software";
                return vec![Finding::fail("HSM module", error.to_string()).fix(fix)];
            }
        };
        let initialized = seen.tokens.iter().filter(|token| token.initialized).count();
        let mut findings =
            vec![Finding::ok("HSM module", format!("`{file}` loads; {} found", tokens_counted(initialized)))];
        for (name, config) in &self.tokens {
            findings.push(match self.open.get(name) {
                Some(Ok(())) => pin_works(name, config, &seen.tokens),
                Some(Err(error)) => token_fails(name, error),
                None => Finding::fail(format!("token `{name}`"), "it was not tried").fix("signgate doctor"),
            });
        }
        findings
    }

    /// The key of each signer, on the tokens that are open.
    pub fn keys(&self, policy: &Policy) -> Vec<Finding> {
        // Several signers may share a key pair.
        let mut looked_at = BTreeSet::new();
        let fresh = policy.signers().filter(|signer| looked_at.insert(signer.keypair_name()));
        fresh.map(|signer| self.key(signer)).collect()
    }

    fn key(&self, signer: SignerRef<'_>) -> Finding {
        let (name, token) = (signer.keypair_name(), signer.token());
        let check = format!("key pair `{name}`");
        let material = match signer.material() {
            Ok(material) => material,
            Err(flaw) => return Finding::fail(check, flaw).fix("signgate policy lint"),
        };
        if !self.tokens.contains_key(token) {
            let seen = format!("the configuration has no token `{token}`");
            return Finding::fail(check, seen).fix(format!("add `[backend.tokens.{token}]` to the configuration"));
        }
        if !matches!(self.open.get(token), Some(Ok(()))) {
            return Finding::fail(check, format!("token `{token}` is not open, see above"));
        }
        let sought =
            SoughtKey { cka_id: material.backing_cka_id.as_deref(), label: name, public_key: &material.public_key };
        match self.hsm.find_key(token, &sought) {
            Ok((by, proof)) => found(check, token, by, proof),
            Err(error) => Finding::fail(check, error.to_string()).fix(
                "signgate policy lint, then compare the key pair's `public_key`, `cka_id` and `token` with the HSM",
            ),
        }
    }
}

fn tokens_counted(count: usize) -> String {
    format!("{count} token{}", if count == 1 { "" } else { "s" })
}

fn found(check: String, token: &str, by: FoundBy, proof: Proof) -> Finding {
    let seen = format!("on token `{token}`, {proof}");
    match by {
        FoundBy::CkaId | FoundBy::Label => Finding::ok(check, seen),
        FoundBy::PublicKey => {
            Finding::warn(check, format!("{seen}; found by its public key only, CKA_ID and label are not the policy's"))
                .fix("write the key's CKA_ID on the HSM into the policy, as the key pair's `cka_id`")
        }
    }
}

fn pin_works(name: &str, config: &TokenConfig, tokens: &[TokenSeen]) -> Finding {
    let is_meant = |token: &&TokenSeen| match &config.select {
        TokenSelector::Label(label) => token.label == *label,
        TokenSelector::Serial(serial) => token.serial == *serial,
    };
    let check = format!("token `{name}`");
    let Some(token) = tokens.iter().filter(|token| token.initialized).find(is_meant) else {
        return Finding::ok(check, format!("{}, its PIN works", config.select));
    };
    let seen = format!("{} in slot {} ({}), its PIN works", config.select, token.slot, token.model);
    Finding::ok(check, seen)
}

fn token_fails(name: &str, error: &TokenError) -> Finding {
    let check = format!("token `{name}`");
    Finding::fail(check, error.to_string())
        .fix(format!("correct `[backend.tokens.{name}]` in the configuration, or the PIN it names"))
}
