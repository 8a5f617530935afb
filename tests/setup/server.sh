# What a host without systemd does, in a container: the script of `signgate setup enforced --without-systemd`, a caller in the
# trust group, one outside of it, and the end. Run by tests/setup/package.rs; /signgate and /module.so are what was built.
set -eu
module=/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu/pkcs11/libsigngate_pkcs11.so
client=${module%/*}/p11-kit-client.so
install -D -m 644 /module.so "$module"
install -m 755 /signgate /usr/bin/signgate
useradd --create-home caller
useradd --create-home stranger

# A policy that knows the caller by his account.
signgate demo --no-sign --dir /demo --module "$module" >/dev/null
sed -i 's/"os_user": "root"/"os_user": "caller"/' /demo/admin/policy.json
mkdir -p /etc/signgate
signgate policy publish --admin /demo/admin --out /etc/signgate/policy.bundle >/dev/null
chmod 644 /etc/signgate/policy.bundle
grep -v -e '^store_id' -e '^policy' -e '^state' /demo/signgate.toml >/signgate.toml
{ echo 'policy = "/etc/signgate/policy.bundle"'; echo 'state = "/var/lib/signgate/state"'; cat /signgate.toml; } >/etc/signgate/signgate.toml

signgate setup enforced --write --without-systemd 2>/setup.log || { cat /setup.log; exit 1; }
# As it says: the PIN is a file of the gate's account. So is the token, here in SoftHSM.
install -m 0400 -o signgate /demo/hsm.pin /etc/signgate/credentials/hsm_demo
cp -r /demo/tokens /var/lib/signgate/tokens
chown -R signgate:signgate /var/lib/signgate/tokens
printf 'directories.tokendir = /var/lib/signgate/tokens\n' >/etc/softhsm/softhsm2.conf
chmod -R a+rX /etc/softhsm
usermod --append --groups signgate-callers caller

/etc/init.d/signgate start
/etc/init.d/signgate status
test "$(stat -c '%U:%G %a' /run/signgate/signgate.sock)" = "signgate:signgate-callers 660"

sign() {
  runuser -u "$1" -- env P11_KIT_SERVER_ADDRESS=unix:path=/run/signgate/signgate.sock pkcs11-tool --module "$client" \
    --token-label demo-rsa --login --pin none --sign -m SHA256-RSA-PKCS -i /etc/hostname -o "/home/$1/sig"
}
sign caller || { cat /run/signgate/log/gate.log; exit 1; }
test -s /home/caller/sig
if sign stranger 2>/dev/null; then echo "a stranger signed"; exit 1; fi
for closed in /etc/signgate/credentials/hsm_demo /var/lib/signgate/state/ledger.db; do
  if runuser -u caller -- cat "$closed" >/dev/null 2>&1; then echo "the caller reads $closed"; exit 1; fi
done
grep -q '^Max core file size *0 *0' "/proc/$(cat /run/signgate/signgate.sock.pid)/limits"
grep -q '^CapBnd:[[:space:]]*0*$' "/proc/$(cat /run/signgate/signgate.sock.pid)/status"

/etc/init.d/signgate stop
if /etc/init.d/signgate status; then echo "it still runs"; exit 1; fi
if sign caller 2>/dev/null; then echo "it still signs"; exit 1; fi
echo all of it
