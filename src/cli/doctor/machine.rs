//! What the configuration says, and whether the files it names are as safe as it claims.

use super::finding::Finding;
use crate::cli::situation::Place;
use signgate_pkcs11::{
    config::{
        Config, Environment, Mode, PinSource, Source, VARIABLE, system_file,
        trusted_file::{self, Owners},
    },
    identity, platform,
};
use std::{fs, path::Path};

/// Which configuration counts, and whose word it is.
pub fn configuration(config: &Config, place: &Place) -> Finding {
    let file = config.file.display();
    if place.is_named() {
        let seen = format!(
            "`{file}`, named on the command line; signing tools find theirs at {}, or by {VARIABLE}",
            system_file().display()
        );
        Finding::ok("configuration", seen)
    } else if config.self_configured {
        let seen = format!("`{file}`, chosen by the caller himself (self-configured): it binds nobody but him");
        Finding::warn("configuration", seen).fix(format!("have an administrator write {}", system_file().display()))
    } else {
        Finding::ok("configuration", format!("`{file}`"))
    }
}

/// Windows has no enforced mode.
const FOR_HOSTILE_CODE: &str = if cfg!(windows) {
    "for builds whose code you do not trust, run the gate on a Linux host in enforced mode: see SECURITY.md"
} else {
    "for builds whose code you do not trust, `mode = \"enforced\"`: see SECURITY.md"
};

/// What the mode is worth.
pub fn mode(config: &Config) -> Finding {
    match config.mode {
        Mode::Advisory => Finding::warn(
            "mode",
            "advisory: stops mistakes and misuse through the tools; it does not stop hostile code of this account, \
             which can read the HSM's PIN, load the HSM's own module, change the records and delete the ledger",
        )
        .fix(FOR_HOSTILE_CODE),
        Mode::Enforced => Finding::ok("mode", "enforced: the gate runs under an account of its own"),
    }
}

/// Variables that are set and do not count.
pub fn environment(config: &Config, environment: &Environment, place: &Place) -> Vec<Finding> {
    let ignored = environment.get(VARIABLE).filter(|path| Path::new(path) != config.file && !place.is_named());
    let ignored = ignored.map(|path| {
        let system = system_file();
        let seen = format!("{VARIABLE} names `{path}`, which does not count: {} does", system.display());
        Finding::warn("environment", seen).fix(format!("unset {VARIABLE}"))
    });
    ignored.into_iter().collect()
}

/// Credentials that are left where the module looks for them in advisory mode.
pub fn credentials(config: &Config, environment: &Environment) -> Vec<Finding> {
    if config.mode == Mode::Enforced {
        return Vec::new();
    }
    let service =
        identity::given_service_token(environment).filter(|_| config.identity_sources.contains(&Source::ServiceToken));
    let service = service.map(|given| {
        let is_token = |token: &identity::Secret| identity::token_sha256(token.expose()).is_some();
        credential("service token", &given, is_token)
    });
    let id = identity::given_id_token(environment).filter(|_| config.identity_sources.contains(&Source::Oidc));
    let id = id.map(|given| credential("ID token", &given, |token| identity::looks_like_id_token(token.expose())));
    service.into_iter().chain(id).collect()
}

fn credential(check: &str, given: &identity::Given, is_one: impl Fn(&identity::Secret) -> bool) -> Finding {
    match &given.content {
        Ok(token) if is_one(token) => Finding::ok(check, format!("in {}", given.place)),
        Ok(_) => Finding::fail(check, format!("{} holds none", given.place))
            .fix(format!("put the {check} there, or unset it")),
        Err(why) => Finding::fail(check, format!("{}: {why}", given.place))
            .fix("chmod go-w the file and its folders, or unset the variable"),
    }
}

/// What `peercred` stands on: that it is asked for, and an address that a socket can have.
pub fn peer(config: &Config) -> Vec<Finding> {
    if config.mode != Mode::Enforced {
        return Vec::new();
    }
    if !config.identity_sources.contains(&Source::Peercred) {
        let seen = "the kernel's word on who connects is not asked for: every caller is known by his credential alone";
        return vec![Finding::warn("peer", seen).fix("add `peercred` to `identity.sources`")];
    }
    // sun_path of unix(7), with its end.
    let too_long = config.listen.iter().filter(|listen| listen.as_os_str().len() > 107);
    too_long
        .map(|listen| {
            let shown = listen.display();
            let seen = format!("`{shown}` is longer than a socket's address can be, so no peer will ever count");
            Finding::fail("peer", seen).fix("choose a shorter `listen`, under /run")
        })
        .collect()
}

/// The files and folders that the configuration names.
pub fn files(config: &Config, environment: &Environment) -> Vec<Finding> {
    let mut findings = vec![module(&config.backend_module)];
    findings.extend(config.tokens.iter().map(|(name, token)| pin(name, &token.pin, environment)));
    let state = Some(config.state.clone());
    for (key, folder) in [("grants", &config.grants), ("requests", &config.requests), ("state", &state)] {
        if let Some(folder) = folder {
            findings.push(folder_of(key, folder));
        }
    }
    findings
}

/// Whoever can write the HSM's module runs code wherever the gate is loaded.
fn module(file: &Path) -> Finding {
    match trusted_file::check_library(file, Owners::root_or_effective_user()) {
        Ok(_) => Finding::ok("HSM module file", format!("`{}`", file.display())),
        Err(error) => {
            let fix = error.fix().unwrap_or_else(|| "correct `backend.module` in the configuration".to_owned());
            Finding::fail("HSM module file", error.to_string()).fix(fix)
        }
    }
}

fn pin(token: &str, source: &PinSource, environment: &Environment) -> Finding {
    let check = format!("PIN of token `{token}`");
    let file = match source {
        PinSource::File(file) => file,
        PinSource::Env(name) => {
            return match identity::hsm_pin(source, environment) {
                Ok(_) => Finding::ok(check, format!("in the environment variable `{name}`")),
                Err(error) => Finding::fail(check, error).fix(format!("export {name}=…")),
            };
        }
        PinSource::Credential(name) => {
            return match identity::hsm_pin(source, environment) {
                Ok(_) => Finding::ok(check, format!("in the credential `{name}` of the service")),
                Err(_) if environment.get(identity::CREDENTIALS_VARIABLE).is_none() => Finding::warn(
                    check,
                    format!(
                        "in the credential `{name}`, which only the service is given; it can not be tried from here"
                    ),
                )
                .fix("see docs/enforced.md on running the doctor with the service's credentials"),
                Err(error) => Finding::fail(check, error)
                    .fix(format!("put the PIN into /etc/signgate/credentials/{}", name.trim_start_matches("hsm_"))),
            };
        }
    };
    let shown = file.display();
    if let Err(error) = trusted_file::check_trusted(file, Owners::root_or_effective_user()) {
        let fix = error.fix().unwrap_or_else(|| format!("put the HSM's PIN into {shown} for this account to read"));
        return Finding::fail(check, error.to_string()).fix(fix);
    }
    if let Err(error) = identity::hsm_pin(source, environment) {
        return Finding::fail(check, error).fix(format!("put the HSM's PIN into {shown}"));
    }
    match platform::readable_by_all(file) {
        Ok(None) => Finding::ok(check, format!("in `{shown}`{}", comma(file))),
        Ok(Some(fix)) => Finding::warn(check, format!("everybody may read `{shown}`{}", brackets(file))).fix(fix),
        Err(error) => Finding::fail(check, format!("`{shown}`: {error}")).fix(format!("look at the rights of {shown}")),
    }
}

fn comma(path: &Path) -> String {
    platform::shown_mode(path).map_or_else(String::new, |mode| format!(", {mode}"))
}

fn brackets(path: &Path) -> String {
    platform::shown_mode(path).map_or_else(String::new, |mode| format!(" ({mode})"))
}

/// A folder whose content proves itself, or is only counts; this account must be able to use it, strangers must not.
fn folder_of(key: &str, folder: &Path) -> Finding {
    let check = format!("folder `{key}`");
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Finding::fail(check, format!("`{shown}`: {error}")).fix(platform::how_to_make(folder));
        }
    };
    if !metadata.is_dir() {
        return Finding::fail(check, format!("`{shown}` is not a folder"))
            .fix(format!("correct `{key}` in the configuration"));
    }
    if let Ok(Some(fix)) = platform::writable_by_all(folder) {
        let seen = format!("everybody may write `{shown}`{}", brackets(folder));
        return Finding::fail(check, seen).fix(fix);
    }
    let writes = key != "grants";
    match platform::try_folder(folder, writes) {
        Ok(()) => Finding::ok(check, format!("`{shown}`{}", comma(folder))),
        Err(why) => {
            let word = if writes { "write" } else { "read" };
            Finding::fail(check, format!("this account may not {word} `{shown}`: {why}"))
                .fix(platform::how_to_let_in(folder))
        }
    }
}
