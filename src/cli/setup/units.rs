//! The texts of enforced mode on a host with systemd: accounts, folders, one socket per trust group, and the service
//! that is started for each connection. Each setting that could be asked about says why it is there.
//! Read next: `enforced.rs`, which puts them in their places.

use super::plan::MARK;
use std::path::PathBuf;

/// What the texts depend on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The gate's account; its group has the same name.
    pub account: String,
    /// Who may connect, one socket each. Not empty; the first one's units have the plain names.
    pub trust_groups: Vec<String>,
    /// `libsigngate_pkcs11.so`.
    pub module: PathBuf,
    /// `p11-kit`.
    pub p11_kit: PathBuf,
    /// Folders and files that the HSM's module writes.
    pub hsm_paths: Vec<PathBuf>,
    /// Devices that the HSM's module opens.
    pub hsm_devices: Vec<PathBuf>,
    /// The HSM is reached over the network.
    pub hsm_network: bool,
    /// The HSM's PINs are encrypted with the machine's key.
    pub encrypted: bool,
    /// Connections per trust group.
    pub connections: u32,
}

/// Where the sockets are.
pub const SOCKETS: &str = "/run/signgate";
/// Where the PINs of the HSM are, a file per token.
pub const PINS: &str = "/etc/signgate/credentials";
/// The same, encrypted with systemd-creds(1).
pub const ENCRYPTED_PINS: &str = "/etc/signgate/credentials.encrypted";
/// Begins the names of the credentials that the service gets from the files in [`PINS`].
pub const CREDENTIAL: &str = "hsm";

impl Facts {
    /// The name that the units of a trust group begin with.
    pub fn unit(&self, group: &str) -> String {
        if self.trust_groups.first().is_some_and(|first| first == group) {
            "signgate".to_owned()
        } else {
            format!("signgate-{group}")
        }
    }

    /// The socket of a trust group.
    pub fn socket(&self, group: &str) -> PathBuf {
        PathBuf::from(SOCKETS).join(format!("{}.sock", self.unit(group)))
    }

    /// All sockets, in the order of the trust groups.
    pub fn sockets(&self) -> Vec<PathBuf> {
        self.trust_groups.iter().map(|group| self.socket(group)).collect()
    }
}

fn written() -> String {
    format!("# {MARK} enforced`.")
}

/// sysusers.d(5).
pub fn sysusers(facts: &Facts) -> String {
    let account = &facts.account;
    let mut text = format!("{}\nu {account} - \"the signing gate\" /var/lib/signgate /usr/sbin/nologin\n", written());
    for group in &facts.trust_groups {
        text.push_str(&format!("g {group} -\n"));
    }
    text
}

/// tmpfiles.d(5). The policy, the grants and the requests prove themselves; the state is the gate's alone, and so are the
/// PINs until systemd hands them over.
pub fn tmpfiles(facts: &Facts) -> String {
    let account = &facts.account;
    format!(
        "{}\n\
         d /etc/signgate 0755 root root -\n\
         d {PINS} 0700 root root -\n\
         d {ENCRYPTED_PINS} 0700 root root -\n\
         d {SOCKETS} 0755 root root -\n\
         d /var/lib/signgate 0755 root root -\n\
         d /var/lib/signgate/state 0700 {account} {account} -\n\
         d /var/lib/signgate/grants 0755 {account} {account} -\n\
         d /var/lib/signgate/requests 0755 {account} {account} -\n",
        written()
    )
}

/// systemd.socket(5).
pub fn socket(facts: &Facts, group: &str) -> String {
    format!(
        "{}
[Unit]
Description=Signing gate for the group {group}
Documentation=man:signgate(1)

[Socket]
ListenStream={socket}
# Who may connect at all; everybody else is stopped by the kernel.
SocketUser=root
SocketGroup={group}
SocketMode=0660
DirectoryMode=0755
# A process for each connection: logins and operations of one caller are nobody else's.
Accept=yes
# This many for this group; the sockets of other groups are not affected.
MaxConnections={connections}
# Without this, 200 connections in two seconds would close the socket until somebody starts it again.
TriggerLimitIntervalSec=0
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
",
        written(),
        socket = facts.socket(group).display(),
        connections = facts.connections,
    )
}

/// systemd.service(5).
pub fn service(facts: &Facts, group: &str) -> String {
    let load = if facts.encrypted {
        format!("LoadCredentialEncrypted={CREDENTIAL}:{ENCRYPTED_PINS}")
    } else {
        format!("LoadCredential={CREDENTIAL}:{PINS}")
    };
    let writes: Vec<String> = ["/var/lib/signgate/state", "/var/lib/signgate/requests"]
        .into_iter()
        .map(str::to_owned)
        .chain(facts.hsm_paths.iter().map(|path| path.display().to_string()))
        .collect();
    let network = if facts.hsm_network {
        "# The HSM is reached over the network.\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6".to_owned()
    } else {
        "RestrictAddressFamilies=AF_UNIX\nIPAddressDeny=any\nPrivateNetwork=yes".to_owned()
    };
    let devices = if facts.hsm_devices.is_empty() {
        "PrivateDevices=yes".to_owned()
    } else {
        let allowed = facts.hsm_devices.iter().map(|device| format!("\nDeviceAllow={} rw", device.display()));
        format!("DevicePolicy=closed{}", allowed.collect::<String>())
    };
    format!(
        "{written}
# What this machine needs otherwise belongs into a drop-in: systemctl edit {unit}@.service
[Unit]
Description=Signing gate for one caller of the group {group}
Documentation=man:signgate(1)
# An ended connection leaves nothing behind, however it ended.
CollectMode=inactive-or-failed

[Service]
User={account}
Group={account}
ExecStart={p11_kit} remote {module}
# The connection is file descriptor 0: that is where the gate sees who is calling.
StandardInput=socket
StandardOutput=socket
StandardError=journal
# The PINs of the HSM, as $CREDENTIALS_DIRECTORY/{CREDENTIAL}_TOKEN; `pin_credential` of the configuration names them.
{load}
UMask=0077

# Bounds for one connection.
RuntimeMaxSec=1h
TimeoutStopSec=5s
MemoryMax=256M
MemorySwapMax=0
TasksMax=16
LimitNOFILE=1024
# PINs are in this process's memory.
LimitCORE=0

# Nothing is gained by taking this process over.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ReadWritePaths={writes}
ProtectHome=yes
PrivateTmp=yes
{devices}
{network}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @debug
SystemCallErrorNumber=EPERM
# Not PrivateUsers=: the kernel would then name every caller `nobody`.
# Not ProtectProc=: a scope may name the caller's command line.
",
        written = written(),
        unit = facts.unit(group),
        account = facts.account,
        p11_kit = facts.p11_kit.display(),
        module = facts.module.display(),
        writes = writes.join(" "),
    )
}
