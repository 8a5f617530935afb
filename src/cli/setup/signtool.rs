//! `signgate setup signtool`: the metadata file and the command line that sign on Windows. Asked is the policy, not the
//! module, so that it can be written on any machine that has the policy. What is written works from wherever it is copied
//! to, but for the path of the DLL. Read next: `../../gate/digest_sign.rs`.

use super::{MARK, Wanted};
use crate::cli::{
    situation::{Place, Situation},
    ui::{self, Exit, Failure},
};
use signgate_pkcs11::policy::{
    SignMetadata, SignerRef,
    algorithm::{KeyType, Mechanism},
};
use std::{fs, io::ErrorKind, path::Path};

/// Where the DLL is, if nobody says otherwise.
const USUAL_PLACE: &str = r"C:\Program Files\signgate\signgate_pkcs11.dll";

/// Arguments of `signgate setup signtool`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// The DLL, as the Windows machine has it
    #[arg(long, value_name = "FILE", default_value = USUAL_PLACE)]
    module: String,
}

/// Prints or writes both files.
pub fn run(arguments: &Arguments, place: &Place) -> Result<Exit, Failure> {
    let situation = Situation::find(place)?;
    let name = &arguments.wanted.signer;
    let signer = situation.policy().signer(name).ok_or_else(|| {
        Failure::denied(format!("the policy `{}` has no signer `{}`", situation.policy().id(), name.escape_debug()))
            .next("signgate whoami")
    })?;
    can_sign(signer)?;
    if arguments.module.chars().any(|c| c.is_control() || "\"%!^&|<>*?".contains(c)) {
        let wrong = format!("the path `{}` can not stand in every command line", arguments.module.escape_debug());
        return Err(Failure::usage(wrong).next("choose one without quotes, `%`, `!`, `^`, `&` and wildcards"));
    }
    let metadata = file_name(name);
    let folder = arguments.wanted.write.as_deref().unwrap_or(Path::new("signgate-signtool"));
    let files = [
        (folder.join(&metadata), format!("{{ \"signer\": \"{name}\" }}\n")),
        (folder.join("sign.cmd"), script(&arguments.module, &metadata)),
    ];
    if arguments.wanted.write.is_none() {
        let text: String = files.iter().map(|(path, text)| format!("#### file {}\n{text}\n", path.display())).collect();
        ui::print(&text.replace('\r', ""))?;
        return Ok(Exit::Done);
    }
    fs::create_dir_all(folder).map_err(|error| Failure::new(format!("`{}`: {error}", folder.display())))?;
    for (path, text) in &files {
        write(path, text)?;
    }
    ui::note(&format!("wrote {}", folder.display()));
    ui::note("next: copy it to the Windows machine; sign.cmd /tr URL /td SHA256 FILE also gets a timestamp");
    Ok(Exit::Done)
}

/// signtool takes the certificate from the gate, and signs with RSA and elliptic curves.
fn can_sign(signer: SignerRef<'_>) -> Result<(), Failure> {
    let name = signer.name();
    let material = signer.material().map_err(|flaw| Failure::undecided(flaw).next("signgate policy lint"))?;
    if material.certificates.is_empty() {
        return Err(Failure::new(format!("the signer `{name}` has no certificate, which signtool needs"))
            .next("give the signer a `certificate_chain` in the policy"));
    }
    let mechanism = match material.public_key.key_type() {
        KeyType::Rsa => Mechanism::RsaPkcs,
        KeyType::Ec => Mechanism::Ecdsa,
        KeyType::Ed25519 => {
            return Err(Failure::new(format!("signtool signs with RSA and elliptic curves, and `{name}` has Ed25519"))
                .next("choose another signer"));
        }
    };
    if !signer.allows(mechanism) {
        return Err(Failure::new(format!(
            "signtool's digests are signed with {mechanism}, which `{name}` does not allow"
        ))
        .next(format!("add {mechanism} to `allowed_mechanisms` of the key pair")));
    }
    Ok(())
}

/// The metadata file of a signer. Whatever follows the first dot, `con.json` is a device on Windows.
fn file_name(signer: &str) -> String {
    let stem = signer.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_numbered =
        |port: &str| stem.strip_prefix(port).is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']));
    let is_device = matches!(stem.as_str(), "con" | "nul" | "aux" | "prn") || is_numbered("com") || is_numbered("lpt");
    format!("{}{signer}.json", if is_device { "signer-" } else { "" })
}

/// A batch file; what is given to it goes to signtool.
fn script(module: &str, metadata: &str) -> String {
    let lines = [
        "@echo off".to_owned(),
        format!("rem {MARK} signtool`. Usage: sign.cmd [OPTION...] FILE..."),
        "rem Who is calling: SIGNGATE_TOKEN or SIGNGATE_TOKEN_FILE, else the account.".to_owned(),
        format!("signtool sign /v /fd SHA256 /dlib \"{module}\" /dmdf \"%~dp0{metadata}\" %*"),
        String::new(),
    ];
    lines.join("\r\n")
}

/// Leaves alone what somebody else wrote.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failure = |error: std::io::Error| Failure::new(format!("`{}`: {error}", path.display()));
    match fs::read(path) {
        Ok(old) if old == text.as_bytes() => return Ok(()),
        Ok(old) => {
            let is_ours = String::from_utf8_lossy(&old).contains(MARK) || SignMetadata::parse(&old).is_ok();
            if !is_ours {
                let message = format!("`{}` is there already, and was not written by `signgate setup`", path.display());
                return Err(Failure::new(message).next("choose another folder"));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failure(error)),
    }
    fs::write(path, text).map_err(failure)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn no_file_is_named_like_a_device() {
        for device in ["con", "NUL", "aux", "Prn", "com1", "COM9", "lpt1", "lpt9", "con.release"] {
            assert_eq!(file_name(device), format!("signer-{device}.json"));
        }
        for name in ["release", "console", "com", "com0", "com10", "lptx", "my-con", "release.con"] {
            assert_eq!(file_name(name), format!("{name}.json"));
        }
    }
}
