//! `signgate.toml`, against the `toml` crate's own table. What is read says the same there, depends on no working folder,
//! keeps what enforced mode asks for, and written anew reads the same; what is refused says where, in one line.

use super::text::one_line;
use signgate_pkcs11::config::{Config, Durability, Mode, PinSource, TokenSelector, Verify};
use std::{fmt::Write, path::Path};

const FILE: &str = "/etc/signgate/signgate.toml";

pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let config = match Config::parse(text, Path::new(FILE)) {
        Ok(config) => config,
        Err(error) => {
            one_line(&error.to_string());
            one_line(&error.next);
            let (line, column) = error.place.expect("a place");
            assert!((1..=text.split('\n').count()).contains(&line) && column >= 1, "{line}:{column}");
            return false;
        }
    };
    holds(text, &config);
    let config = Config { sync: None, ..config };
    let again = Config::parse(&written(&config), Path::new(FILE)).expect("what was written");
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
    true
}

fn holds(text: &str, config: &Config) {
    let table: toml::Table = toml::from_str(text).expect("TOML to another reader");
    let told = |name: &str| table.get(name).and_then(toml::Value::as_str);
    assert_eq!(told("mode"), Some(config.mode.name()));
    assert_eq!(told("store_id"), config.store_id.as_deref());
    let root = told("trust_root").expect("a pin").to_lowercase();
    assert_eq!(root, data_encoding::HEXLOWER.encode(&config.trust_root));
    let sections = table["backend"]["tokens"].as_table().expect("tokens");
    assert_eq!(sections.len(), config.tokens.len());
    assert!(!config.tokens.is_empty() && !config.identity_sources.is_empty() && !config.self_configured);
    let mut paths = vec![&config.policy, &config.state, &config.backend_module];
    paths.extend([&config.grants, &config.requests, &config.log].into_iter().flatten());
    paths.extend(&config.listen);
    for token in config.tokens.values() {
        match &token.pin {
            PinSource::File(path) => paths.push(path),
            PinSource::Env(_) => assert_eq!(config.mode, Mode::Advisory, "a caller's variable in enforced mode"),
            PinSource::Credential(name) => assert!(!name.contains('/'), "a credential in another folder"),
        }
    }
    for path in paths {
        assert!(path.is_absolute(), "{} depends on the working folder", path.display());
    }
    assert!(config.mode == Mode::Advisory || !config.listen.is_empty());
}

/// A basic string of TOML 1.0.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => write!(out, "\\u{:04x}", u32::from(letter)).unwrap(),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// The configuration as a document again, without the part about fetching.
fn written(config: &Config) -> String {
    let path = |path: &Path| quoted(path.to_str().expect("text"));
    let mut out = String::new();
    let mut line = |name: &str, value: String| writeln!(out, "{name} = {value}").unwrap();
    line("mode", quoted(config.mode.name()));
    line("policy", path(&config.policy));
    line("trust_root", quoted(&data_encoding::HEXLOWER.encode(&config.trust_root)));
    line("state", path(&config.state));
    line("verify", quoted(if config.verify == Verify::Always { "always" } else { "first" }));
    line("list_before_login", config.list_before_login.to_string());
    if !config.listen.is_empty() {
        let sockets: Vec<String> = config.listen.iter().map(|socket| path(socket)).collect();
        line("listen", format!("[{}]", sockets.join(", ")));
    }
    for (name, value) in [("grants", &config.grants), ("requests", &config.requests), ("log", &config.log)] {
        if let Some(value) = value {
            line(name, path(value));
        }
    }
    if let Some(id) = &config.store_id {
        line("store_id", quoted(id));
    }
    writeln!(out, "[backend]\nmodule = {}", path(&config.backend_module)).unwrap();
    for (name, token) in &config.tokens {
        writeln!(out, "[backend.tokens.{}]", quoted(name)).unwrap();
        match &token.select {
            TokenSelector::Label(label) => writeln!(out, "label = {}", quoted(label)).unwrap(),
            TokenSelector::Serial(serial) => writeln!(out, "serial = {}", quoted(serial)).unwrap(),
        }
        match &token.pin {
            PinSource::File(file) => writeln!(out, "pin_file = {}", path(file)).unwrap(),
            PinSource::Env(name) => writeln!(out, "pin_env = {}", quoted(name)).unwrap(),
            PinSource::Credential(name) => writeln!(out, "pin_credential = {}", quoted(name)).unwrap(),
        }
    }
    let sources: Vec<String> = config.identity_sources.iter().map(|source| quoted(source.name())).collect();
    writeln!(out, "[identity]\nsources = [{}]", sources.join(", ")).unwrap();
    let durability = if config.audit_durability == Durability::Full { "full" } else { "normal" };
    writeln!(out, "[audit]\ndurability = {}", quoted(durability)).unwrap();
    out
}
