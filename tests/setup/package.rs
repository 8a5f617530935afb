//! The Debian package: installed, used and removed in a container of a plain Debian, as a user would.
//! It is made by `ci/package`; without it these tests skip.

use crate::tool::{Need, Ran, installed, package};
use std::{collections::BTreeSet, process::Command};

/// What the package has, by path.
fn contents() -> BTreeSet<String> {
    let listed = Ran::of(Command::new("dpkg-deb").arg("--contents").arg(package().unwrap())).succeeded().stdout;
    listed.lines().filter_map(|line| Some(line.split_whitespace().nth(5)?.trim_start_matches('.').to_owned())).collect()
}

#[test]
fn the_package_has_what_a_machine_needs() {
    if !installed("the_package_has_what_a_machine_needs", &[Need::CargoDeb]) {
        return;
    }
    let files = contents();
    for file in [
        "/usr/bin/signgate",
        "/usr/share/p11-kit/modules/signgate.module",
        "/usr/lib/systemd/system/signgate.socket",
        "/usr/lib/systemd/system/signgate@.service",
        "/usr/lib/sysusers.d/signgate.conf",
        "/usr/lib/tmpfiles.d/signgate.conf",
        "/usr/share/man/man1/signgate.1.gz",
        "/usr/share/man/man1/signgate-setup-enforced.1.gz",
        "/usr/share/bash-completion/completions/signgate",
        "/usr/share/doc/signgate/examples/signgate.toml",
    ] {
        assert!(files.contains(file), "no {file} in {files:#?}");
    }
    let modules: Vec<&String> = files.iter().filter(|file| file.ends_with("/libsigngate_pkcs11.so")).collect();
    let [module] = modules[..] else { panic!("{modules:?}") };
    assert!(module.starts_with("/usr/lib/") && module.contains("-linux-gnu/pkcs11/"), "{module}");
}

/// In the container: install, look, use, remove. Each line must succeed.
const TRIAL: &str = r#"set -eu
dpkg --install --force-depends /package.deb >/dev/null
getent passwd signgate >/dev/null
getent group signgate-callers >/dev/null
test "$(stat -c '%U %a' /var/lib/signgate/state)" = "signgate 700"
test "$(stat -c '%U %a' /etc/signgate/credentials)" = "root 700"
module=$(echo /usr/lib/*/pkcs11/libsigngate_pkcs11.so)
zcat /usr/share/man/man1/signgate.1.gz | grep -q 'signgate'
bash -n /usr/share/bash-completion/completions/signgate

# Used: a token in SoftHSM, a policy, and a signature as somebody.
signgate demo --no-sign --dir /demo --module "$module"
. /demo/env.sh
cd /demo/work && head -c 5000 /dev/urandom >data
pkcs11-tool --module "$module" --token-label demo-rsa --login --pin "$SIGNGATE_PIN" --sign -m SHA256-RSA-PKCS -i data -o sig 2>/dev/null
test -s sig

# Enforced mode from the demo's configuration: the package's units serve, so only the configuration is written.
unset SIGNGATE_CONFIG
grep -v '^store_id' /demo/signgate.toml >/etc/signgate/signgate.toml
sed -i 's|^state = .*|state = "/var/lib/signgate/state"|' /etc/signgate/signgate.toml
signgate setup enforced --write 2>/setup.log
grep -q '^mode = "enforced"' /etc/signgate/signgate.toml
grep -q '^store_id' /etc/signgate/signgate.toml
test "$(stat -c '%U %a' /var/lib/signgate/state/ledger.db)" = "signgate 600"
test ! -e /etc/systemd/system/signgate.socket

# Removed: nothing of it runs or lies around, and the ledger stays.
dpkg --remove signgate >/dev/null
test ! -e "$module"
test ! -e /usr/bin/signgate
test -e /etc/signgate/signgate.toml
dpkg --purge signgate >/dev/null 2>&1
test ! -e /etc/signgate
test -e /var/lib/signgate/state/ledger.db
echo all of it
"#;

#[test]
fn the_package_is_installed_used_and_removed() {
    if !installed("the_package_is_installed_used_and_removed", &[Need::CargoDeb, Need::Container]) {
        return;
    }
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network", "none", "--user", "0:0", "--workdir", "/", "--tmpfs", "/demo:exec"]);
    docker.args(["--tmpfs", "/var/lib/signgate:exec"]);
    docker.arg("--volume").arg(format!("{}:/package.deb:ro", package().unwrap().display()));
    docker.arg(crate::tool::image().unwrap()).args(["bash", "-c", TRIAL]);
    Ran::of(&mut docker).said("all of it");
}

#[test]
fn a_host_without_systemd_runs_p11_kits_server_under_the_gates_account() {
    let test = "a_host_without_systemd_runs_p11_kits_server_under_the_gates_account";
    if !installed(test, &[Need::Container]) {
        return;
    }
    let module = std::env::current_exe().unwrap().with_file_name("libsigngate_pkcs11.so");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup/server.sh");
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network", "none", "--user", "0:0", "--workdir", "/", "--tmpfs", "/demo:exec"]);
    docker.args(["--tmpfs", "/var/lib/signgate:exec", "--volume", &format!("{script}:/server.sh:ro")]);
    docker.args(["--volume", &format!("{}:/module.so:ro", module.display())]);
    docker.args(["--volume", concat!(env!("CARGO_BIN_EXE_signgate"), ":/signgate:ro")]);
    docker.arg(crate::tool::image().unwrap()).args(["bash", "/server.sh"]);
    Ran::of(&mut docker).said("all of it");
}
