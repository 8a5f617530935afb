//! Enforced mode on a host without systemd: a script for its init that runs one `p11-kit server` per trust group.
//! `p11-kit server` starts `p11-kit remote` on each connection, so the gate sees its caller as under systemd; slots are
//! numbered anew, so tools must name tokens by label there.

use super::{
    plan::MARK,
    shell::quoted,
    units::{Facts, PINS, SOCKETS},
};

/// Where the script stands.
pub const SCRIPT: &str = "/etc/init.d/signgate";

/// The script. The socket is made closed, and opened to its group only when it is there: `p11-kit server --group` would
/// compare the caller's primary group alone.
pub fn script(facts: &Facts) -> String {
    let groups = facts.trust_groups.iter().map(|group| {
        format!("  {} {} {}\n", "serve", quoted(group), quoted(&facts.socket(group).display().to_string()))
    });
    format!(
        r#"#!/bin/sh
# {MARK} enforced`.
### BEGIN INIT INFO
# Provides:          signgate
# Required-Start:    $local_fs $remote_fs
# Required-Stop:     $local_fs $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Signing gate
### END INIT INFO
set -eu

account={account}
module={module}
p11_kit={p11_kit}
run={SOCKETS}

# Nothing of the environment that this script was started in reaches the gate. No core dumps: PINs are in its memory.
serve() {{
  group=$1 socket=$2
  pid_file=$socket.pid
  if [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; then return 0; fi
  rm -f "$socket"
  (
    ulimit -c 0
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 CREDENTIALS_DIRECTORY={PINS} \
      setpriv --reuid "$account" --regid "$account" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
      "$p11_kit" server --foreground --provider "$module" --name "$socket" pkcs11: </dev/null >/dev/null 2>>"$run/log/gate.log"
  ) &
  echo $! >"$pid_file"
  tries=0
  until [ -S "$socket" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then echo "signgate: no socket $socket; see $run/log/gate.log" >&2; return 1; fi
    sleep 0.1
  done
  chgrp "$group" "$socket"
  chmod 0660 "$socket"
}}

start() {{
  umask 022
  # Only the gate's account makes sockets here, and only callers of a trust group may open them.
  install -d -o "$account" -g "$account" -m 0755 "$run"
  install -d -o root -g root -m 0700 "$run/log"
{serve}}}

stop() {{
  for pid_file in "$run"/*.sock.pid; do
    [ -s "$pid_file" ] || continue
    kill "$(cat "$pid_file")" 2>/dev/null || true
    rm -f "$pid_file" "${{pid_file%.pid}}"
  done
}}

case "${{1:-}}" in
  start) start ;;
  stop) stop ;;
  restart | force-reload) stop; start ;;
  status)
    for pid_file in "$run"/*.sock.pid; do
      [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null || exit 3
    done
    ;;
  *) echo "usage: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
"#,
        account = quoted(&facts.account),
        module = quoted(&facts.module.display().to_string()),
        p11_kit = quoted(&facts.p11_kit.display().to_string()),
        serve = groups.collect::<String>(),
    )
}
