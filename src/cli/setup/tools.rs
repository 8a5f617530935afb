//! `signgate setup TOOL`: the configuration and the command line that sign with this tool and this signer. Each is a small
//! folder: `env.sh` with what every tool needs, the tool's own configuration, and a script that is the command line.
//! The tests run the scripts as they are written. No secret is ever written: the PIN comes from `SIGNGATE_PIN`.
//! Read next: `signer.rs` for what is asked of the module.

use super::{
    Wanted, continuous,
    plan::{Entry, MARK, Plan},
    shell::quoted,
    signer::{self, Signer},
};
use crate::cli::{
    situation::Place,
    ui::{self, Exit, Failure},
};
use std::path::{Path, PathBuf};

/// Arguments of `signgate setup TOOL`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// What the tool is to load; as found out from the machine's configuration if absent
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    module: Option<PathBuf>,
    /// The gate's socket, in enforced mode
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// What is to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    Apksigner,
    Cosign,
    GithubActions,
    Gitlab,
    Git,
    Gpg,
    Jarsigner,
    Jenkins,
    Openssl,
    Osslsigncode,
    Ssh,
}

impl Tool {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Apksigner => "apksigner",
            Tool::Cosign => "cosign",
            Tool::GithubActions => "github-actions",
            Tool::Gitlab => "gitlab",
            Tool::Git => "git",
            Tool::Gpg => "gpg",
            Tool::Jarsigner => "jarsigner",
            Tool::Jenkins => "jenkins",
            Tool::Openssl => "openssl",
            Tool::Osslsigncode => "osslsigncode",
            Tool::Ssh => "ssh",
        }
    }
}

/// Prints or writes the folder.
pub fn run(tool: Tool, arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let signer =
        signer::find(&arguments.wanted.signer, arguments.module.as_deref(), arguments.socket.as_deref(), place)?;
    let folder = arguments.wanted.write.clone().unwrap_or_else(|| PathBuf::from(format!("signgate-{}", tool.name())));
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    for path in [&folder, &signer.module] {
        if path.to_str().is_none_or(|text| text.contains(|c: char| c.is_control() || "#\"\\$`'".contains(c))) {
            return Err(Failure::usage(format!(
                "the path `{}` can not stand in every configuration file",
                path.display()
            ))
            .next("choose one without quotes, `#`, `$`, `\\` and control characters"));
        }
    }
    let recipe = Recipe { tool, signer: &signer, folder: &folder };
    let plan = Plan { entries: recipe.entries()?, commands: Vec::new() };
    if arguments.wanted.write.is_some() {
        plan.write(Path::new("/"))?;
        ui::note(&format!("wrote {}", folder.display()));
    } else {
        ui::print(&plan.print())?;
    }
    Ok(Exit::Done)
}

/// A tool, a signer, and where the files are to be.
pub struct Recipe<'r> {
    pub tool: Tool,
    pub signer: &'r Signer,
    pub folder: &'r Path,
}

impl Recipe<'_> {
    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let mut entries = vec![Entry::folder(self.folder, 0o700), self.file("env.sh", 0o644, self.environment())];
        let own = match self.tool {
            Tool::Jarsigner => vec![self.java(), self.script("sign.sh", "IN.jar OUT.jar [OPTION…]", JARSIGNER)],
            Tool::Apksigner => vec![
                self.java(),
                self.file("java.security", 0o644, self.filled("security.provider.12=SunPKCS11 @FOLDER@/p11.cfg\n")),
                self.script("sign.sh", "IN.apk OUT.apk [OPTION…]", APKSIGNER),
            ],
            Tool::Osslsigncode => {
                vec![self.chain()?, self.script("sign.sh", "IN.exe OUT.exe [OPTION…]", OSSLSIGNCODE)]
            }
            Tool::Openssl => vec![
                self.leaf()?,
                self.file("issuers.pem", 0o644, self.issuers().to_owned()),
                self.file("engine.cnf", 0o644, self.filled(ENGINE)),
                self.script("sign.sh", "FILE SIGNATURE [OPTION…]", OPENSSL_DGST),
                self.script("sign-cms.sh", "FILE MESSAGE.p7s [OPTION…]", OPENSSL_CMS),
            ],
            Tool::Cosign => vec![self.script("sign.sh", "FILE SIGNATURE [OPTION…]", COSIGN)],
            Tool::Ssh => {
                vec![self.askpass(), self.agent(), self.script("sign.sh", "FILE SIGNATURE [NAMESPACE]", SSH)]
            }
            Tool::Git => vec![
                self.askpass(),
                self.agent(),
                self.script("git.sh", "commit -S … | tag -s … | any other command of git", GIT),
            ],
            Tool::Gpg => self.gpg()?,
            Tool::GithubActions | Tool::Gitlab | Tool::Jenkins => continuous::entries(self),
        };
        entries.extend(own);
        Ok(entries)
    }

    /// A file of the folder.
    pub fn file(&self, name: &str, mode: u32, text: String) -> Entry {
        Entry::file(self.folder.join(name), mode, format!("# {MARK} {}`.\n{text}", self.tool.name()))
    }

    /// A script, with the places of this signer filled in.
    pub fn script(&self, name: &str, usage: &str, text: &str) -> Entry {
        let begin = format!(
            "#!/bin/sh\n# {MARK} {}`. Usage: {name} {usage}\nset -eu\nhere=$(cd \"$(dirname \"$0\")\" && pwd)\n. \"$here/env.sh\"\n",
            self.tool.name()
        );
        Entry::file(self.folder.join(name), 0o755, begin + &self.filled(text))
    }

    /// `@NAME@` and its like are this signer's. None of them can break out of where it stands: names are `a-z0-9._-`, and
    /// the paths were looked at.
    fn filled(&self, text: &str) -> String {
        let signer = self.signer;
        text.replace("@NAME@", &signer.name)
            .replace("@MODULE@", &signer.module.display().to_string())
            .replace("@FOLDER@", &self.folder.display().to_string())
            .replace("@URI@", &format!("pkcs11:token={0};object={0};type=private", signer.name))
            .replace("@PERCENT@", &percent(&signer.id))
    }

    fn environment(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.signer.variables {
            text.push_str(&format!("export {name}={}\n", quoted(value)));
        }
        text.push_str(if self.signer.needs_login {
            "# The PIN of every tool: the caller's service token.\n: \"${SIGNGATE_PIN:?set it to a service token}\"\n"
        } else {
            "# The PIN of every tool: the account says who is calling.\n: \"${SIGNGATE_PIN:=none}\"\n"
        });
        text + "export SIGNGATE_PIN\n"
    }

    fn java(&self) -> Entry {
        let text = format!("name = {}\nlibrary = @MODULE@\nslot = {}\n", self.signer.name, self.signer.slot);
        self.file("p11.cfg", 0o644, self.filled(&text))
    }

    fn chain(&self) -> Result<Entry, Failure> {
        if self.signer.chain.is_empty() {
            return Err(Failure::new(format!(
                "the signer `{}` has no certificate, which {} needs",
                self.signer.name,
                self.tool.name()
            ))
            .next("give the signer a `certificate_chain` in the policy"));
        }
        Ok(self.file("chain.pem", 0o644, self.signer.chain.clone()))
    }

    /// The signer's own certificate.
    fn leaf(&self) -> Result<Entry, Failure> {
        self.chain()?;
        let leaf = self.signer.chain.strip_suffix(self.issuers()).unwrap_or(&self.signer.chain);
        Ok(self.file("leaf.pem", 0o644, leaf.to_owned()))
    }

    /// The certificates above it.
    fn issuers(&self) -> &str {
        let end = "-----END CERTIFICATE-----\n";
        self.signer.chain.split_once(end).map_or("", |(_, issuers)| issuers)
    }

    fn askpass(&self) -> Entry {
        let text = format!("#!/bin/sh\n# {MARK} {}`.\nprintf '%s\\n' \"$SIGNGATE_PIN\"\n", self.tool.name());
        Entry::file(self.folder.join("askpass.sh"), 0o755, text)
    }

    fn agent(&self) -> Entry {
        self.file("agent.sh", 0o644, self.filled(AGENT))
    }

    fn gpg(&self) -> Result<Vec<Entry>, Failure> {
        if !self.signer.is_rsa {
            return Err(Failure::new(format!(
                "gpg signs through PKCS#11 with RSA keys only, and `{}` has another",
                self.signer.name
            ))
            .next("choose a signer with an RSA key"));
        }
        self.chain()?;
        let home = |name: &str| format!("gnupg/{name}");
        let pinentry =
            format!("#!/bin/sh\n# {MARK} gpg`. Answers gpg-agent with the PIN instead of a dialogue.\n{PINENTRY}");
        Ok(vec![
            Entry::folder(self.folder.join("gnupg"), 0o700),
            self.file(&home("gpg-agent.conf"), 0o644, self.filled(GPG_AGENT)),
            self.file(&home("gnupg-pkcs11-scd.conf"), 0o644, self.filled(GPG_SCD)),
            self.file(&home("gpgsm.conf"), 0o644, "disable-crl-checks\n".to_owned()),
            Entry::file(self.folder.join("pinentry.sh"), 0o755, pinentry),
            self.script("make-key.sh", "NAME MAIL (once: makes the OpenPGP key of this signer)", GPG_KEY),
            self.script("sign.sh", "FILE SIGNATURE [OPTION…]", GPG_SIGN),
        ])
    }
}

/// Bytes of a URI (RFC 3986, section 2.1).
fn percent(hexadecimal: &str) -> String {
    let digits: Vec<char> = hexadecimal.chars().collect();
    digits.chunks(2).map(|byte| format!("%{}", byte.iter().collect::<String>())).collect()
}

const JARSIGNER: &str = r#"in=$1 out=$2
shift 2
exec jarsigner -keystore NONE -storetype PKCS11 -storepass:env SIGNGATE_PIN -addprovider SunPKCS11 \
  -providerArg "$here/p11.cfg" "$@" -signedjar "$out" "$in" @NAME@
"#;

const APKSIGNER: &str = r#"in=$1 out=$2
shift 2
exec apksigner "-JDjava.security.properties=$here/java.security" sign --ks NONE --ks-type PKCS11 \
  --ks-pass env:SIGNGATE_PIN --ks-key-alias @NAME@ "$@" --in "$in" --out "$out"
"#;

const OSSLSIGNCODE: &str = r#"in=$1 out=$2
shift 2
# The PIN comes on a file descriptor: others can see command lines.
exec osslsigncode sign -pkcs11module @MODULE@ -key "@URI@" -readpass /dev/stdin \
  -certs "$here/chain.pem" -h sha256 "$@" -in "$in" -out "$out" <<PIN
$SIGNGATE_PIN
PIN
"#;

const ENGINE: &str = r"openssl_conf = openssl_init
[openssl_init]
engines = engines
[engines]
pkcs11 = pkcs11_engine
[pkcs11_engine]
engine_id = pkcs11
MODULE_PATH = @MODULE@
PIN = ${ENV::SIGNGATE_PIN}
init = 0
";

const OPENSSL_DGST: &str = r#"in=$1 out=$2
shift 2
export OPENSSL_CONF="$here/engine.cnf"
exec openssl dgst -sha256 -engine pkcs11 -keyform engine -sign "@URI@" "$@" -out "$out" "$in"
"#;

const OPENSSL_CMS: &str = r#"in=$1 out=$2
shift 2
export OPENSSL_CONF="$here/engine.cnf"
exec openssl cms -sign -binary -md sha256 -engine pkcs11 -keyform engine -inkey "@URI@" \
  -signer "$here/leaf.pem" -certfile "$here/issuers.pem" "$@" -outform DER -in "$in" -out "$out"
"#;

const COSIGN: &str = r#"in=$1 out=$2
shift 2
export COSIGN_PKCS11_MODULE_PATH=@MODULE@ COSIGN_PKCS11_PIN="$SIGNGATE_PIN"
# Needs a cosign that was built with PKCS#11 (build tag pkcs11key).
exec cosign sign-blob --yes --key "pkcs11:token=@NAME@;id=@PERCENT@;object=@NAME@" "$@" --output-signature "$out" "$in"
"#;

const AGENT: &str = r#"# An ssh-agent for this script alone, with the keys that the gate shows.
eval "$(ssh-agent -s -P @MODULE@)" >/dev/null
trap 'ssh-agent -k >/dev/null' EXIT
SSH_ASKPASS="$here/askpass.sh" SSH_ASKPASS_REQUIRE=force ssh-add -q -s @MODULE@ </dev/null >/dev/null
key=$(ssh-add -L | awk '$3 == "@NAME@" { print $1, $2; exit }')
[ -n "$key" ] || { echo "the gate shows no key @NAME@" >&2; exit 1; }
"#;

const SSH: &str = r#". "$here/agent.sh"
public=$(mktemp)
trap 'rm -f "$public"; ssh-agent -k >/dev/null' EXIT
printf '%s\n' "$key" >"$public"
ssh-keygen -Y sign -f "$public" -n "${3:-file}" - <"$1" >"$2"
"#;

const GIT: &str = r#". "$here/agent.sh"
git -c gpg.format=ssh -c "user.signingkey=key::$key" "$@"
"#;

const GPG_AGENT: &str = "scdaemon-program /usr/bin/gnupg-pkcs11-scd\npinentry-program @FOLDER@/pinentry.sh\n";

const GPG_SCD: &str = "providers signgate\nprovider-signgate-library @MODULE@\n";

const PINENTRY: &str = r#"echo "OK"
while read -r command rest; do
  case "$command" in
    GETPIN) printf 'D %s\nOK\n' "$SIGNGATE_PIN" ;;
    BYE) echo "OK"; exit 0 ;;
    *) echo "OK" ;;
  esac
done
"#;

const GPG_KEY: &str = r#"export GNUPGHOME="$here/gnupg"
# gnupg-pkcs11-scd writes KEY-FRIEDNLY; the agent keeps the environment it is started with: one for this run.
trap 'gpgconf --kill gpg-agent' EXIT
gpgconf --kill gpg-agent
# Tells the agent which keys there are.
gpgsm --batch --quiet --learn-card
grip=$(gpg-connect-agent 'SCD LEARN' /bye | sed -n 's/^S KEY-FRI[A-Z]* \([0-9A-F]*\) .* on @NAME@$/\1/p' | head -n 1)
[ -n "$grip" ] || { echo "the gate shows no key @NAME@" >&2; exit 1; }
gpg --batch --full-generate-key <<KEY
Key-Type: RSA
Key-Grip: $grip
Key-Usage: sign,cert
Name-Real: $1
Name-Email: $2
Expire-Date: 0
%commit
KEY
"#;

const GPG_SIGN: &str = r#"in=$1 out=$2
shift 2
export GNUPGHOME="$here/gnupg"
trap 'gpgconf --kill gpg-agent' EXIT
gpgconf --kill gpg-agent
gpg --batch --yes --detach-sign "$@" --output "$out" "$in"
"#;
