#!/usr/bin/env bash
# Signs under wine as a program of Windows does: a C host loads the cross-built module, which has a policy, a ledger and
# the project's test backing with a software key behind it. What comes out is verified outside, by openssl.
#
# Called by ci/windows, with the folder of what was built in SIGNGATE_CROSS. Each case prints one line; the last line counts
# them. What is refused is looked at by its reason, not only by its code.
# No `set -e`: a failed case is counted, and the others still run.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

built=${SIGNGATE_CROSS:?the folder of what ci/windows has built}
wine=$PWD/ci/windows
prefix=$PWD/target/windows/wine
scene=$prefix/drive_c/signgate-scene
out=$scene/out.txt
passed=0
failed=0

case_ok() {
  passed=$((passed + 1))
  echo "ok: $1"
}

case_failed() {
  failed=$((failed + 1))
  echo "FAILED: $1"
  grep -v '^ *[0-9]*: ' "$out" | head -n 30 | sed 's/^/  /'
}

# expect NAME CODE TEXT COMMAND… : the command ends with this code and says this text.
expect() {
  local name=$1 code=$2 text=$3 seen=0
  shift 3
  "$@" >"$out" 2>&1 || seen=$?
  tr -d '\r' <"$out" >"$out.plain" && mv "$out.plain" "$out"
  if { [ "$code" = any ] || [ "$seen" -eq "$code" ]; } && grep -qF -- "$text" "$out"; then
    case_ok "$name"
  else
    echo "(ended with $seen; wanted $code and \`$text\`)" >>"$out"
    case_failed "$name"
  fi
}

signgate() { "$wine" wine "$built/signgate.exe" "$@"; }

host() {
  "$wine" wine "$PWD/target/windows/tests/host.exe" "$module" "$@"
}

# Z: is the root of this host.
windows_path() { printf 'Z:%s' "$1" | tr / '\\'; }

# A stranger's rights are made as wine makes them: from the mode.
rm -rf "$scene"
mkdir -p "$scene"
chmod 755 "$scene"
# On drive C:, because the checkout may lie below a folder that Everyone may write.
mkdir "$scene/module"
cp "$built/signgate_pkcs11.dll" "$scene/module/"
chmod 755 "$scene/module" "$scene/module/signgate_pkcs11.dll"
module='C:\signgate-scene\module\signgate_pkcs11.dll'

# ---- what is built ----

exported() { x86_64-w64-mingw32-objdump -p "$1" | sed -n '/Ordinal\/Name Pointer/,/^$/s/^[[:space:]]*\[ *[0-9]*\].*[[:space:]]//p' | sort; }
wanted_exports() {
  printf '%s\n' AuthenticodeDigestSignEx AuthenticodeDigestSignExWithFileHandle \
    C_GetFunctionList C_GetInterface C_GetInterfaceList
}
exported "$built/signgate_pkcs11.dll" >"$out"
if diff <(wanted_exports | sort) "$out" >/dev/null; then
  case_ok "the module exports what PKCS#11 and signtool look for, and nothing else"
else
  case_failed "the exports of the module"
fi

# ---- a policy, made by the command itself ----

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out "$scene/key.pem" 2>/dev/null
openssl pkcs8 -topk8 -nocrypt -in "$scene/key.pem" -outform DER -out "$scene/key.der"
openssl pkey -in "$scene/key.pem" -pubout -out "$scene/key.pub"
openssl req -x509 -new -key "$scene/key.pem" -subj "/CN=Release" -days 30 \
  -addext extendedKeyUsage=codeSigning -out "$scene/leaf.pem" 2>/dev/null
printf 1234 >"$scene/hsm.pin"
chmod 600 "$scene"/hsm.pin "$scene"/key.*
printf 'the release\n' >"$scene/data"
account=$("$wine" wine cmd /c 'echo %USERDOMAIN%\%USERNAME%' 2>/dev/null | tr -d '\r')
token=sg_windows000000000000000000000
stranger=sg_stranger00000000000000000000
hash_of() { printf %s "$1" | openssl dgst -sha256 -r | cut -d ' ' -f 1; }
in_json() { sed -z 's/\n/\\n/g' "$1"; }

policy() {
  cat <<JSON
{
  "schema": "signgate.policy/1",
  "id": "windows",
  "users": {
    "ci": { "kind": "service_user", "os_user": "${1//\\/\\\\}", "credentials": [{ "sha256": "$(hash_of "$token")" }] },
    "stranger": { "kind": "service_user", "credentials": [{ "sha256": "$(hash_of "$stranger")" }] }
  },
  "keypairs": {
    "release": { "public_key": "$(in_json "$scene/key.pub")", "token": "hsm", "cka_id": "01" }
  },
  "signers": {
    "release": {
      "keypair": "release",
      "id": 1,
      "certificate_chain": ["$(in_json "$scene/leaf.pem")"],
      "members": [{ "user": "ci", "role": "operator" }]
    }
  }
}
JSON
}

# configuration FILE ADMIN-FOLDER BACKING [enforced [DURABILITY]]
configuration() {
  cat >"$scene/$1" <<TOML
mode = "${4:-advisory}"
$([ -z "${4:-}" ] || echo "listen = 'C:\\signgate-scene\\socket'")
$(tr -d '\r' <"$scene/$2.lines")
state = 'C:\\signgate-scene\\state'
$([ ! -e "$scene/store_id" ] || tr -d '\r' <"$scene/store_id")

[identity]
sources = ["service_token"$([ -n "${4:-}" ] || echo ', "os_user"')]

[backend]
module = '$3'

[backend.tokens.hsm]
label = "backing"
pin_file = 'C:\\signgate-scene\\hsm.pin'

[audit]
durability = "${5:-full}"
TOML
  chmod 644 "$scene/$1"
}

# The module's own folder counts, too: nobody else may add files there.
mkdir "$scene/hsm"
cp "$built/examples/backing.dll" "$scene/hsm/backing.dll"
chmod 755 "$scene/hsm" "$scene/hsm/backing.dll"
backing='C:\signgate-scene\hsm\backing.dll'
export SIGNGATE_BACKING_KEY='C:\signgate-scene\key.der'
export SIGNGATE_CONFIG='C:\signgate-scene\signgate.toml'

policy "$account" >"$scene/policy.json"
policy 'ELSEWHERE\nobody' >"$scene/other.json"
expect "signgate.exe policy lint" 0 "0 errors" signgate policy lint 'C:\signgate-scene\policy.json'
expect "signgate.exe init makes keys and a bundle" 0 "trust_root" \
  signgate init 'C:\signgate-scene\admin' --id windows --policy 'C:\signgate-scene\policy.json'
grep -E '^(policy|trust_root) = ' "$out" >"$scene/admin.lines"
expect "signgate.exe init of another policy" 0 "trust_root" \
  signgate init 'C:\signgate-scene\other' --id windows --policy 'C:\signgate-scene\other.json'
grep -E '^(policy|trust_root) = ' "$out" >"$scene/other.lines"
configuration signgate.toml admin "$backing"
expect "signgate.exe ledger init" 0 "store_id" signgate ledger init --print
grep '^store_id' "$out" >"$scene/store_id"
configuration signgate.toml admin "$backing"

# ---- signing ----

expect "a C host signs, known by the process's user" 0 "C_Sign 0x0" \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\signature'
grep -q 'key type 0, 4 bytes' "$out" && grep -q 'length 384' "$out" && case_ok "structures are packed, CK_ULONG has 32 bits" ||
  case_failed "structures are packed, CK_ULONG has 32 bits"
grep -q 'after FreeLibrary: C_GetSlotList 0x190' "$out" && case_ok "the module stays loaded after FreeLibrary" ||
  case_failed "the module stays loaded after FreeLibrary"
expect "openssl verifies the signature" 0 "Verified OK" \
  openssl dgst -sha256 -verify "$scene/key.pub" -signature "$scene/signature" "$scene/data"
expect "a C host signs with a service token as the PIN" 0 "C_Login 0x0" \
  host release "$token" 'C:\signgate-scene\data' 'C:\signgate-scene\signature2'
expect "openssl verifies that one, too" 0 "Verified OK" \
  openssl dgst -sha256 -verify "$scene/key.pub" -signature "$scene/signature2" "$scene/data"

# Four processes at once, each with two signatures or more of its own behind it in the same ledger.
together() {
  local number children=() bad=0
  for number in 1 2 3 4; do
    host release - 'C:\signgate-scene\data' "C:\\signgate-scene\\together$number" >"$scene/together$number.txt" 2>&1 &
    children+=($!)
  done
  for number in "${children[@]}"; do
    wait "$number" || bad=1
  done
  cat "$scene"/together*.txt
  for number in 1 2 3 4; do
    openssl dgst -sha256 -verify "$scene/key.pub" -signature "$scene/together$number" "$scene/data" || bad=1
  done
  return "$bad"
}
expect "four processes sign at once" 0 "Verified OK" together
configuration normal.toml admin "$backing" "" normal
SIGNGATE_CONFIG='C:\signgate-scene\normal.toml' expect "with durability normal, records go to a journal" 0 "C_Sign 0x0" \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\signature3'
SIGNGATE_CONFIG='C:\signgate-scene\normal.toml' expect "and from there into the chain" 0 "ok    journals" signgate doctor

configuration slashes.toml admin 'C:/signgate-scene/hsm/backing.dll'
SIGNGATE_CONFIG='C:\signgate-scene\slashes.toml' expect "a backing module may be written with /" 0 "C_Sign 0x0" \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\signature5'

# ---- who is calling, and which configuration counts ----

USERNAME=mallory USERDOMAIN=ELSEWHERE expect "variables do not say who is calling" 0 "C_Sign 0x0" \
  "$wine" wine cmd /c "set USERNAME=mallory&& set USERDOMAIN=ELSEWHERE&& $(windows_path "$PWD/target/windows/tests/host.exe") \
$(windows_path "$built/signgate_pkcs11.dll") release - C:\\signgate-scene\\data C:\\signgate-scene\\signature4"
mkdir -p "$prefix/drive_c/ProgramData/signgate"
chmod 755 "$prefix/drive_c/ProgramData" "$prefix/drive_c/ProgramData/signgate"
cp "$scene/signgate.toml" "$prefix/drive_c/ProgramData/signgate/signgate.toml"
SIGNGATE_CONFIG='C:\no such.toml' ProgramData='C:\nowhere' \
  expect "the machine's configuration counts, whatever the variables say" 0 'ProgramData\signgate\signgate.toml' signgate doctor
rm -r "$prefix/drive_c/ProgramData/signgate"

# ---- refusals ----

expect "a PIN that nobody has is CKR_PIN_INCORRECT" 1 "C_Login 0xA0" \
  host release sg_nobody0000000000000000000000 'C:\signgate-scene\data' 'C:\signgate-scene\none'
expect "a user who is no member does not sign" 1 "SG-NOT-A-MEMBER" \
  host release "$stranger" 'C:\signgate-scene\data' 'C:\signgate-scene\none'
configuration other.toml other "$backing"
SIGNGATE_CONFIG='C:\signgate-scene\other.toml' expect "an account that the policy does not name sees no signer" 1 "no token" \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
configuration missing.toml admin 'C:\signgate-scene\no such hsm.dll'
SIGNGATE_CONFIG='C:\signgate-scene\missing.toml' expect "a backing module that is missing is named in one line" 1 \
  "the HSM's module can not be loaded" host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
chmod 777 "$scene/hsm"
expect "a backing module whose folder Everyone may add files to is not loaded" 1 \
  'icacls "C:\signgate-scene\hsm" /inheritance:d /remove:g *S-1-1-0' host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
expect "and the doctor says the same" 1 'icacls "C:\signgate-scene\hsm" /inheritance:d /remove:g *S-1-1-0' signgate doctor
chmod 755 "$scene/hsm"
chmod 777 "$scene/hsm/backing.dll"
expect "nor is one that Everyone may write" 1 'hsm\backing.dll" /inheritance:d /remove:g *S-1-1-0' \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
chmod 755 "$scene/hsm/backing.dll"
configuration ours.toml admin "$module"
SIGNGATE_CONFIG='C:\signgate-scene\ours.toml' expect "the gate is not its own HSM" 1 "is signgate's own" \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
configuration open.toml admin "$backing"
chmod 666 "$scene/open.toml"
SIGNGATE_CONFIG='C:\signgate-scene\open.toml' expect "a configuration that Everyone may write is refused, with the command that mends it" 1 \
  '/inheritance:d /remove:g *S-1-1-0' host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
chmod 777 "$scene/admin"
expect "a policy in a folder that Everyone may change is refused" 1 'S-1-1-0' \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
chmod 700 "$scene/admin"
chmod 777 "$scene/state"
expect "a ledger that is open to Everyone is refused" 1 'S-1-1-0' \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
chmod 700 "$scene/state"
configuration enforced.toml admin "$backing" enforced
SIGNGATE_CONFIG='C:\signgate-scene\enforced.toml' expect "enforced mode is refused" 1 "no sockets that say who connects" \
  host release - 'C:\signgate-scene\data' 'C:\signgate-scene\none'
if [ ! -e "$scene/none" ]; then case_ok "no refusal left a signature"; else case_failed "no refusal left a signature"; fi

# ---- the command ----

expect "signgate.exe whoami names the account" 0 "known by os_user \`$account\`" signgate whoami
expect "signgate.exe explain" 0 "PERMITTED as a member" signgate explain --signer release
expect "signgate.exe doctor finds nothing that fails" 0 "its PIN works" signgate doctor
expect "signgate.exe audit verify" 0 "the log holds: records 1 to" signgate audit verify
expect "signgate.exe audit list shows the signature" 0 "release" signgate audit list
expect "signgate.exe last" any "signer" signgate last
expect "signgate.exe setup signtool prints a command line" 0 "/dmdf" signgate setup signtool --signer release
expect "signgate.exe demo is not there, in one line" 2 "is not on Windows" signgate demo --dir x
expect "signgate.exe setup enforced is not there, in one line" 2 "is not on Windows" signgate setup enforced

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
