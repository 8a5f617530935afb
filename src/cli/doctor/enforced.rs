//! Enforced mode seen from a caller: whether the gate's socket answers, whether both ends of p11-kit speak alike, and what
//! comes through. A gate that shows nothing looks like a tool that is broken, so each reason has its own words.
//! Looks only; a login is never tried. Read next: `through.rs`.

use super::{
    finding::Finding,
    through::{self, Seen},
};
use crate::cli::{
    last_remote::{ADDRESS, client, own_socket},
    situation::Situation,
};
use nix::unistd::{AccessFlags, Uid, User, access};
use signgate_pkcs11::config::{Config, Environment};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::Path,
    time::Duration,
};

/// How long the gate may take to load; a policy of a hundred thousand signers takes a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether this account is one of those that the gate is kept from: neither root nor the gate's own.
pub fn is_caller(config: &Config) -> bool {
    let own = Uid::effective();
    !own.is_root() && fs::metadata(&config.state).map_or(true, |state| state.uid() != own.as_raw())
}

/// What the gate's account keeps for itself, seen from a caller's.
pub fn kept(config: &Config) -> Vec<Finding> {
    let open = fs::read_dir(&config.state).is_ok();
    vec![if open {
        Finding::fail(
            "ledger",
            format!("this account can read `{}`, which is the gate's alone", config.state.display()),
        )
        .fix(format!("chmod go= {}", config.state.display()))
    } else {
        Finding::ok("ledger", format!("`{}` is closed to this account, as it should be", config.state.display()))
    }]
}

/// Each of the gate's sockets.
pub fn sockets(config: &Config) -> Vec<Finding> {
    config.listen.iter().map(|socket| one_socket(socket)).collect()
}

fn one_socket(socket: &Path) -> Finding {
    let check = format!("socket `{}`", socket.display());
    let metadata = match fs::metadata(socket) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Finding::fail(check, format!("{error}: nobody listens there"))
                .fix("systemctl enable --now signgate.socket, or: /etc/init.d/signgate start");
        }
    };
    if !metadata.file_type().is_socket() {
        return Finding::fail(check, "it is no socket").fix(format!("rm {}, then start the gate", socket.display()));
    }
    if metadata.mode() & 0o002 != 0 {
        let seen =
            format!("every account may connect (mode {:04o}); only a trust group should", metadata.mode() & 0o7777);
        return Finding::fail(check, seen).fix("systemctl restart signgate.socket; signgate setup enforced --write");
    }
    let group = nix::unistd::Group::from_gid(metadata.gid().into()).ok().flatten();
    let group = group.map_or_else(|| metadata.gid().to_string(), |group| group.name);
    if access(socket, AccessFlags::W_OK).is_err() {
        return Finding::warn(check, format!("this account may not connect: it is not in the group `{group}`"))
            .fix(format!("usermod --append --groups {group} {}, then log in again", own_name()));
    }
    Finding::ok(check, format!("open to the group `{group}`"))
}

/// How this account reaches the gate, and what it finds there.
pub fn connection(config: &Config, environment: &Environment, situation: Option<&Situation>) -> Vec<Finding> {
    let Some(socket) = own_socket(config).filter(|socket| access(*socket, AccessFlags::W_OK).is_ok()) else {
        return Vec::new();
    };
    let Some(client) = client() else {
        return vec![
            Finding::fail("p11-kit client", "`p11-kit-client.so`, which tools load in enforced mode, is not installed")
                .fix("apt-get install p11-kit-modules"),
        ];
    };
    let mut findings = vec![address(environment, socket, client)];
    let spoken = version_of_client(client);
    match version_of_server(socket, spoken.unwrap_or(0)) {
        Err(error) => {
            findings.push(
                Finding::fail("gate", format!("it ends the connection before it has said anything: {error}")).fix(
                    "journalctl --unit 'signgate@*' --since -1h; the gate's configuration, module or PIN is unusable",
                ),
            );
            return findings;
        }
        Ok(server) => findings.push(versions(spoken, server)),
    }
    match through::look(socket, client) {
        Ok(seen) => {
            findings.push(mode(&seen));
            findings.push(slots(&seen, situation));
            findings.extend(situation.into_iter().flat_map(|situation| mechanisms(&seen, situation)));
        }
        Err(error) => findings.push(Finding::fail("gate", error).fix("journalctl --unit 'signgate@*' --since -1h")),
    }
    findings.push(Finding::ok(
        "end of a connection",
        "the unit ends it after an hour (RuntimeMaxSec=) or when the gate is killed; p11-kit's client then writes into the \
         closed socket, so a tool that does not ignore SIGPIPE dies of it (exit code 141, `Broken pipe`): start it again",
    ));
    findings
}

fn address(environment: &Environment, socket: &Path, client: &Path) -> Finding {
    let wanted = format!("unix:path={}", socket.display());
    let export = format!("export {ADDRESS}={wanted}, and have tools load {}", client.display());
    match environment.get(ADDRESS) {
        Some(address) if address == wanted => {
            Finding::ok("tools", format!("load {}; {ADDRESS} leads to the gate", client.display()))
        }
        Some(address) => {
            let seen = format!(
                "{ADDRESS} is `{}`, which is not the gate's socket: tools see no slots",
                address.escape_debug()
            );
            Finding::warn("tools", seen).fix(export)
        }
        None => Finding::warn("tools", format!("{ADDRESS} is not set: p11-kit's client then shows no slots at all"))
            .fix(export),
    }
}

/// The highest version that p11-kit's client speaks: it says so in the first byte.
fn version_of_client(client: &Path) -> Option<u8> {
    let folder = tempfile_folder()?;
    let socket = folder.join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).ok()?;
    let child = through::start(&socket, client);
    let version = child.ok().and_then(|mut child| {
        let said = listener.accept().ok().and_then(|(stream, _)| first_byte(stream));
        let _ = child.wait();
        said
    });
    let _ = fs::remove_file(&socket);
    let _ = fs::remove_dir(&folder);
    version
}

/// A folder of this account's own, for a socket.
fn tempfile_folder() -> Option<std::path::PathBuf> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).ok()?;
    let folder = std::env::temp_dir().join(format!("signgate-{}", data_encoding::HEXLOWER.encode(&random)));
    nix::unistd::mkdir(&folder, nix::sys::stat::Mode::S_IRWXU).ok()?;
    Some(folder)
}

fn first_byte(mut stream: UnixStream) -> Option<u8> {
    let mut byte = [0];
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.read_exact(&mut byte).ok()?;
    Some(byte[0])
}

/// What the gate's end answers to this version.
fn version_of_server(socket: &Path, spoken: u8) -> std::io::Result<u8> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[spoken])?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn versions(client: Option<u8>, server: u8) -> Finding {
    const FIX: &str = "install the same p11-kit for the tools and for the gate (in a container, the host's release)";
    match client {
        None => Finding::warn("p11-kit versions", format!("the gate's end answers with protocol {server}; the client says none"))
            .fix(FIX),
        Some(client) if client == server => Finding::ok("p11-kit versions", format!("both ends speak protocol {client}")),
        Some(client) if client > server => Finding::warn(
            "p11-kit versions",
            format!("the client speaks protocol {client}, the gate's end {server}: newer functions and mechanisms are not there"),
        )
        .fix(FIX),
        Some(client) => Finding::fail(
            "p11-kit versions",
            format!("the client speaks protocol {client}, the gate's end {server}: they do not understand each other"),
        )
        .fix(FIX),
    }
}

fn mode(seen: &Seen) -> Finding {
    if seen.description.contains("enforced") {
        Finding::ok("gate", format!("answers as `{}`", seen.description))
    } else {
        Finding::fail("gate", format!("what answers calls itself `{}`, not a gate in enforced mode", seen.description))
            .fix("compare ExecStart= of signgate@.service with docs/enforced.md")
    }
}

fn slots(seen: &Seen, situation: Option<&Situation>) -> Finding {
    if !seen.tokens.is_empty() {
        let names: Vec<&str> = seen.tokens.iter().map(|token| token.label.as_str()).collect();
        return Finding::ok("slots", format!("{}: {}", names.len(), names.join(", ")));
    }
    let fix = "signgate policy show; then have the policy's authors add this account";
    let Some(situation) = situation else {
        return Finding::fail("slots", "the gate shows none, and the policy can not be read from here to say why")
            .fix(fix);
    };
    let policy = situation.policy();
    let name = own_name();
    let Ok(Some(known)) = situation.known() else {
        let listed = policy.signers().any(|signer| signer.listed_before_login());
        let why = match (listed, situation.config.list_before_login) {
            (true, false) => {
                "signers whose members log in with a token are kept from sight by `list_before_login = false`"
            }
            _ => "and no signer has members that log in with a token",
        };
        return Finding::fail(
            "slots",
            format!("the gate shows none: the policy knows no user with os_user `{name}`, {why}"),
        )
        .fix(fix);
    };
    let member = policy.principal_name(known.id);
    Finding::fail("slots", format!("the gate shows none: `{member}`, who has os_user `{name}`, may see no signer"))
        .fix(fix)
}

/// p11-kit passes on only what it knows: EdDSA is not among it.
fn mechanisms(seen: &Seen, situation: &Situation) -> Vec<Finding> {
    use signgate_pkcs11::policy::algorithm::Mechanism;
    let lost = |token: &through::Token| {
        let signer = situation.policy().signer(&token.label)?;
        let lost: Vec<String> = Mechanism::ALL
            .iter()
            .filter(|&&mechanism| signer.allows(mechanism) && !token.mechanisms.contains(&mechanism.number()))
            .map(|mechanism| mechanism.to_string())
            .collect();
        if lost.is_empty() {
            return None;
        }
        let seen = format!("p11-kit does not pass on {}", lost.join(", "));
        let fix = if token.mechanisms.is_empty() {
            "give the signer an RSA or ECDSA key, or a p11-kit on both sides that knows its mechanism"
        } else {
            "use another mechanism of this signer, or a p11-kit on both sides that knows it"
        };
        let check = format!("mechanisms of `{}`", token.label);
        Some(if token.mechanisms.is_empty() { Finding::fail(check, seen) } else { Finding::warn(check, seen) }.fix(fix))
    };
    seen.tokens.iter().filter_map(lost).collect()
}

fn own_name() -> String {
    let uid = Uid::effective();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn both_ends_that_speak_alike_are_fine_and_others_are_told_apart() {
        assert_eq!(versions(Some(1), 1).verdict, Verdict::Ok);
        assert_eq!(versions(Some(2), 0).verdict, Verdict::Warn);
        assert_eq!(versions(Some(0), 2).verdict, Verdict::Fail);
        assert_eq!(versions(None, 0).verdict, Verdict::Warn);
    }

    #[test]
    fn a_socket_that_is_absent_no_socket_or_open_to_all_is_a_failure() {
        use std::os::unix::{fs::PermissionsExt, net::UnixListener};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.sock");
        assert!(one_socket(&path).seen.contains("nobody listens"));
        fs::write(&path, "").unwrap();
        assert!(one_socket(&path).seen.contains("no socket"));
        fs::remove_file(&path).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(one_socket(&path).seen.contains("every account"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(one_socket(&path).verdict, Verdict::Ok);
    }

    #[test]
    fn an_end_that_says_nothing_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(version_of_server(&path, 0).is_err());
        closing.join().unwrap();
    }
}
