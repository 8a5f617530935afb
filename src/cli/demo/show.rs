//! The tour: real artifacts signed through the module by real tools, checked by verifiers that know nothing of it, and
//! what happens to callers who may not sign. Every step says what it expects of the tool and fails on anything else.
//! Leaves no grant standing. Read next: `workshop.rs` (how tools run).

use super::{
    cast::{CALLER, STRANGER},
    documents,
    failure::{Failure, at},
    folder::Folder,
    narrator::{say, step},
    portable_executable,
    secrets::{self, Secrets},
    workshop::{Call, Finished, PIN_VARIABLE, Workshop},
};
use std::{env, fs, path::Path};

/// Not a secret: the key store holds the authority's certificate only.
const KEY_STORE_PASSWORD: &str = "changeit";

/// What every step needs.
struct Tour<'a> {
    folder: &'a Folder,
    workshop: Workshop<'a>,
    secrets: &'a Secrets,
    module: &'a Path,
}

/// Takes the whole tour, up to the first step that does not do what it says.
pub fn show(folder: &Folder, secrets: &Secrets, module: &Path) -> Result<(), Failure> {
    let tour = Tour { folder, workshop: Workshop::open(folder)?, secrets, module };
    say("signing through the gate\n");
    check("a JAR, a Windows program, and a key store with the demo authority", || tour.make_artifacts())?;
    check("jarsigner signs app.jar as demo-rsa", || tour.sign_jar())?;
    check("jarsigner -verify -strict accepts it", || tour.verify_jar())?;
    check("osslsigncode signs app.exe as demo-rsa", || {
        tour.sign_exe("demo-rsa", "app-signed.exe", "sign-exe")?.succeeded(&[])
    })?;
    check("osslsigncode verify accepts it", || tour.verify_exe("demo-rsa", "app-signed.exe"))?;
    check("openssl signs app.jar as demo-ec", || tour.sign_by_openssl())?;
    check("openssl dgst -verify accepts it", || tour.verify_by_openssl("demo-ec", "app.jar.ec-sig"))?;
    check("pkcs11-tool signs app.jar as demo-rsa", || {
        tour.sign_by_pkcs11_tool("demo-rsa", "01", CALLER)?.succeeded(&[])
    })?;
    check("openssl dgst -verify accepts it", || tour.verify_by_openssl("demo-rsa", "app.jar.rsa-sig"))?;

    say("callers who may not sign\n");
    check("mallory's valid credential is refused on demo-rsa", || tour.refuse_stranger())?;
    check("demo-hidden is not listed", || tour.refuse_listing())?;
    check("demo-hidden cannot be named either", || tour.refuse_hidden())?;

    say("a signer that needs an approval\n");
    tour.remove_grants()?;
    refusal("osslsigncode as demo-approval is refused", || tour.refuse_unapproved("SG-APPROVAL-REQUIRED"))?;
    let id = step("signgate request demo-approval --signings 1 --window 1h", || tour.request(), |id| id.clone())?;
    check("signgate approve, with alice's key", || tour.approve(&id))?;
    check("osslsigncode as demo-approval signs", || {
        tour.sign_exe("demo-approval", "app-approved.exe", "sign-approved")?.succeeded(&[])
    })?;
    check("osslsigncode verify accepts it", || tour.verify_exe("demo-approval", "app-approved.exe"))?;
    refusal("the next signature is refused again: one was approved", || tour.refuse_unapproved("SG-GRANT-EXHAUSTED"))?;
    tour.remove_grants()
}

fn check<T>(title: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<(), Failure> {
    step(title, || work().map(|_| ()), |()| String::new())
}

/// A step whose tool must be refused by the gate; shows the gate's line.
fn refusal(title: &str, work: impl FnOnce() -> Result<Finished, Failure>) -> Result<(), Failure> {
    let finished = step(title, work, |_| String::new())?;
    say(&format!("  {}\n", finished.refusal_line()));
    Ok(())
}

impl Tour<'_> {
    fn make_artifacts(&self) -> Result<(), Failure> {
        let write = |name: &str, bytes: &[u8]| {
            let path = self.workshop.path(name);
            fs::write(&path, bytes).map_err(at("write", &path))
        };
        write("hello.txt", b"hello\n")?;
        write("app.exe", &portable_executable::console_program())?;
        let jar = Call::new("jar", "--create --file app.jar hello.txt");
        self.workshop.run("make-jar", jar)?.succeeded(&[])?;
        let authority = self.folder.path(super::certificates::AUTHORITY);
        let import = Call::new("keytool", "-importcert -noprompt -alias demo-ca -storetype PKCS12 -keystore trust.p12")
            .args("-storepass")
            .arg(KEY_STORE_PASSWORD)
            .args("-file")
            .arg(authority);
        self.workshop.run("make-key-store", import)?.succeeded(&[])?;
        Ok(())
    }

    fn sign_jar(&self) -> Result<Finished, Failure> {
        let configuration = self.folder.path(&documents::java_configuration_file("demo-rsa"));
        let sign = Call::new("jarsigner", "-keystore NONE -storetype PKCS11")
            .args("-storepass:env")
            .arg(PIN_VARIABLE)
            .args("-addprovider SunPKCS11 -providerArg")
            .arg(configuration)
            .args("-signedjar app-signed.jar app.jar demo-rsa")
            .variable(PIN_VARIABLE, &self.secrets.member);
        self.workshop.run("sign-jar", sign)?.succeeded(&["jar signed."])
    }

    fn verify_jar(&self) -> Result<Finished, Failure> {
        let verify = Call::new("jarsigner", "-verify -strict -verbose -certs -keystore trust.p12 -storepass")
            .arg(KEY_STORE_PASSWORD)
            .arg("app-signed.jar");
        self.workshop.run("verify-jar", verify)?.succeeded(&["jar verified.", "CN=demo-rsa"])
    }

    /// The credential goes in by file: arguments are visible to every user of the machine.
    fn sign_exe(&self, signer: &str, signed: &str, log: &str) -> Result<Finished, Failure> {
        let sign = Call::new("osslsigncode", "sign -pkcs11module")
            .arg(self.module)
            .args("-key")
            .arg(private_key_uri(signer))
            .args("-readpass")
            .arg(self.folder.path(secrets::MEMBER))
            .args("-certs")
            .arg(self.folder.path(&format!("certs/{signer}-chain.pem")))
            .args("-h sha256 -in app.exe -out")
            .arg(signed);
        self.workshop.run(log, sign)
    }

    fn verify_exe(&self, signer: &str, signed: &str) -> Result<Finished, Failure> {
        let verify = Call::new("osslsigncode", "verify -CAfile")
            .arg(self.folder.path(super::certificates::AUTHORITY))
            .args("-in")
            .arg(signed);
        let subject = format!("CN={signer}");
        self.workshop.run(&format!("verify-{signed}"), verify)?.succeeded(&["Signature verification: ok", &subject])
    }

    fn sign_by_openssl(&self) -> Result<Finished, Failure> {
        let sign = Call::new("openssl", "dgst -sha256 -engine pkcs11 -keyform engine -sign")
            .arg(private_key_uri("demo-ec"))
            .args("-out app.jar.ec-sig app.jar")
            .variable("OPENSSL_CONF", self.folder.path(documents::OPENSSL_CONFIGURATION));
        self.workshop.run("sign-openssl", sign)?.succeeded(&[])
    }

    /// Without the engine: openssl's own arithmetic, and the public key of the certificate.
    fn verify_by_openssl(&self, signer: &str, signature: &str) -> Result<Finished, Failure> {
        let public_key = format!("{signer}.pub.pem");
        let extract = Call::new("openssl", "x509 -noout -pubkey -in")
            .arg(self.folder.path(&format!("certs/{signer}.pem")))
            .args("-out")
            .arg(&public_key);
        self.workshop.run("extract-public-key", extract)?.succeeded(&[])?;
        let verify = Call::new("openssl", "dgst -sha256 -verify")
            .arg(&public_key)
            .args("-signature")
            .arg(signature)
            .arg("app.jar");
        self.workshop.run(&format!("verify-{signature}"), verify)?.succeeded(&["Verified OK"])
    }

    fn sign_by_pkcs11_tool(&self, signer: &str, id: &str, caller: &str) -> Result<Finished, Failure> {
        let credential = if caller == STRANGER { &self.secrets.stranger } else { &self.secrets.member };
        let sign = Call::new("pkcs11-tool", "--module")
            .arg(self.module)
            .args("--token-label")
            .arg(signer)
            .args("--login --pin")
            .arg(format!("env:{PIN_VARIABLE}"))
            .args("--id")
            .arg(id)
            .args("--sign -m SHA256-RSA-PKCS -i app.jar -o app.jar.rsa-sig")
            .variable(PIN_VARIABLE, credential);
        self.workshop.run(&format!("sign-{signer}-by-{caller}"), sign)
    }

    fn refuse_stranger(&self) -> Result<Finished, Failure> {
        self.remove_output("app.jar.rsa-sig")?;
        let finished = self.sign_by_pkcs11_tool("demo-rsa", "01", STRANGER)?.was_refused("CKR_PIN_INCORRECT")?;
        self.no_output("app.jar.rsa-sig")?;
        Ok(finished)
    }

    fn refuse_listing(&self) -> Result<(), Failure> {
        let list = Call::new("pkcs11-tool", "--module").arg(self.module).args("--list-slots");
        let finished = self.workshop.run("list-slots", list)?.succeeded(&["demo-rsa", "demo-ec", "demo-approval"])?;
        if finished.said.contains("demo-hidden") {
            return Err(Failure::new("`pkcs11-tool --list-slots` shows `demo-hidden`"));
        }
        Ok(())
    }

    fn refuse_hidden(&self) -> Result<Finished, Failure> {
        let finished = self.sign_by_pkcs11_tool("demo-hidden", "04", CALLER)?.was_refused("demo-hidden")?;
        self.no_output("app.jar.rsa-sig")?;
        Ok(finished)
    }

    /// Before the approval: those of an interrupted tour. After it: the one that is used up. Removing a grant's file only
    /// ever takes away.
    fn remove_grants(&self) -> Result<(), Failure> {
        let grants = self.folder.path("grants");
        for entry in fs::read_dir(&grants).map_err(at("read", &grants))? {
            let path = entry.map_err(at("read", &grants))?.path();
            fs::remove_file(&path).map_err(at("remove", &path))?;
        }
        Ok(())
    }

    fn refuse_unapproved(&self, reason: &str) -> Result<Finished, Failure> {
        let saying = format!("signgate: DENIED {reason}");
        let finished = self.sign_exe("demo-approval", "app-refused.exe", "sign-unapproved")?.was_refused(&saying)?;
        self.no_output("app-refused.exe")?;
        Ok(finished)
    }

    fn request(&self) -> Result<String, Failure> {
        let request = self.signgate()?.args("request demo-approval --signings 1 --window 1h --justification");
        let finished = self.workshop.run("request", request.arg("the demo's tour"))?.succeeded(&[])?;
        let id = finished.said.lines().find(|line| line.starts_with("rq-"));
        id.map(str::to_owned).ok_or_else(|| Failure::new("`signgate request` did not print the request's id"))
    }

    fn approve(&self, id: &str) -> Result<Finished, Failure> {
        let approve = self.signgate()?.args("approve").arg(id).args("--key").arg(self.folder.path("approvers/alice"));
        self.workshop.run("approve", approve)?.succeeded(&[])
    }

    fn signgate(&self) -> Result<Call, Failure> {
        let program = env::current_exe().map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
        Ok(Call::new(program, ""))
    }

    fn remove_output(&self, name: &str) -> Result<(), Failure> {
        let path = self.workshop.path(name);
        fs::remove_file(&path).map_err(at("remove", &path))
    }

    /// A refused tool may leave an empty file, never a signature.
    fn no_output(&self, name: &str) -> Result<(), Failure> {
        match fs::metadata(self.workshop.path(name)) {
            Ok(metadata) if metadata.len() > 0 => Err(Failure::new(format!("the refused tool wrote `{name}`"))),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn private_key_uri(signer: &str) -> String {
    format!("pkcs11:token={signer};object={signer};type=private")
}
