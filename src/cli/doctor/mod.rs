//! `signgate doctor`: looks at everything a signature on this machine depends on, and names the command that mends
//! what is wrong. One line per check.
//!
//! Changes nothing and signs nothing; a wrong HSM PIN is tried once. Read next: `machine.rs`, `bundle.rs`, `rules.rs`,
//! `counting.rs`, `approvals.rs`, `hsm.rs`.

mod approvals;
mod bundle;
mod counting;
#[cfg(unix)]
mod enforced;
mod finding;
mod hsm;
mod machine;
#[cfg(unix)]
mod p11_kit;
mod rules;
#[cfg(unix)]
mod through;

use super::{
    situation::{Place, Situation},
    ui::{self, Exit, Failure, Paint},
};
use finding::{Finding, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};
#[cfg(unix)]
use signgate_pkcs11::config::{Config, Mode};
use signgate_pkcs11::{config::Environment, policy_cache::PolicyCache};

/// Arguments of `signgate doctor`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Tell what this module shows, for the doctor itself
    #[cfg(unix)]
    #[arg(long, value_name = "FILE", hide = true)]
    through: Option<std::path::PathBuf>,
}

/// Prints the findings; fails if one of them keeps people from signing, or from signing safely.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    #[cfg(unix)]
    if let Some(module) = &arguments.through {
        return through::run(module);
    }
    let findings = look_at_everything(place);
    if arguments.json {
        let findings: Vec<Value> = findings.iter().map(Finding::json).collect();
        ui::print_json(&json!({ "findings": findings }))?;
    } else {
        let paint = Paint::for_stdout();
        let lines: Vec<String> = findings.iter().map(|finding| finding.text(paint)).collect();
        ui::print(&lines.concat())?;
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn look_at_everything(place: &Place) -> Vec<Finding> {
    let environment = Environment::from_process();
    let config = match place.configuration(&environment) {
        Ok(config) => config,
        Err(error) => {
            let seen = error.to_string();
            let seen = seen.strip_prefix("configuration ").unwrap_or(&seen);
            return vec![Finding::fail("configuration", seen).fix(error.next)];
        }
    };
    #[cfg(unix)]
    if config.mode == Mode::Enforced && enforced::is_caller(&config) {
        return look_as_caller(config, environment, place);
    }
    let now = Timestamp::now();
    let mut findings = vec![machine::configuration(&config, place), machine::mode(&config)];
    findings.extend(counting::settings(&config));
    findings.extend(machine::environment(&config, &environment, place));
    findings.extend(machine::credentials(&config, &environment));
    findings.extend(machine::peer(&config));
    findings.extend(machine::files(&config, &environment));
    #[cfg(unix)]
    findings.extend(enforced::sockets(&config));
    let looked = PolicyCache::for_looking(&config).fresh(now);
    findings.extend(bundle::policy(&config, &looked, now));
    findings.extend(bundle::memory(&config));
    findings.extend(counting::ledger(&config));
    if let Ok(loaded) = &looked {
        findings.extend(rules::document(&config, loaded));
        findings.extend(rules::observed(loaded));
        findings.extend(config.grants.iter().flat_map(|folder| approvals::grants(folder, loaded)));
    }
    #[cfg(unix)]
    findings.extend(p11_kit::ways_round(&config.backend_module, &p11_kit::Places::usual()).into_iter().map(way_round));
    let tokens = hsm::Tokens::of(&config);
    findings.extend(tokens.findings());
    // An unusable policy has been reported above.
    if let Ok(loaded) = looked {
        let situation = Situation::with(config, environment, loaded, now);
        findings.extend(situation.config.requests.iter().map(|folder| approvals::waiting(&situation, folder)));
        findings.extend(tokens.keys(situation.policy()));
        findings.extend(rules::caller(&situation));
    }
    findings
}

/// In enforced mode, which Windows does not have, a caller sees the gate's door, the policy, and that the rest is closed to him.
#[cfg(unix)]
fn look_as_caller(config: Config, environment: Environment, place: &Place) -> Vec<Finding> {
    let now = Timestamp::now();
    let mut findings = vec![machine::configuration(&config, place), machine::mode(&config)];
    findings.extend(machine::environment(&config, &environment, place));
    findings.extend(machine::peer(&config));
    findings.extend(enforced::kept(&config));
    findings.extend(enforced::sockets(&config));
    let looked = PolicyCache::for_looking(&config).fresh(now);
    let situation = looked.ok().map(|loaded| Situation::with(config.clone(), Environment::from_process(), loaded, now));
    findings.extend(enforced::connection(&config, &environment, situation.as_ref()));
    findings.extend(p11_kit::ways_round(&config.backend_module, &p11_kit::Places::usual()).into_iter().map(way_round));
    findings
}

#[cfg(unix)]
fn way_round(found: p11_kit::WayRound) -> Finding {
    let seen = format!(
        "`{}` gives the HSM's own module to every program that asks p11-kit: whoever knows the HSM's PIN signs without \
         the gate",
        found.file.display()
    );
    Finding::warn("way round", seen).fix(found.fix)
}
