//! The two ways to the HSM's keys: through the gate, where every signer is a token of its own, and the bare token,
//! where all keys lie side by side. The same command line of a tool fits both.

use crate::{demo::Demo, tool::Ran};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A module, how it names tokens, and the PIN it takes.
pub struct Door<'a> {
    pub demo: &'a Demo,
    pub module: &'a Path,
    pub pin: &'a str,
    bare_token: Option<&'a str>,
}

impl<'a> Door<'a> {
    pub fn new(demo: &'a Demo, module: &'a str, bare_token: Option<&'a str>, pin: &'a str) -> Door<'a> {
        Door { demo, module: Path::new(module), pin, bare_token }
    }

    /// The same way with another PIN.
    pub fn with_pin(self, pin: &'a str) -> Door<'a> {
        Door { pin, ..self }
    }

    /// Label of the token that has this signer's key.
    pub fn token<'s>(&'s self, signer: &'s str) -> &'s str {
        self.bare_token.unwrap_or(signer)
    }

    /// PKCS#11 URI of this signer's private key (RFC 7512).
    pub fn uri(&self, signer: &str) -> String {
        format!("pkcs11:token={};object={signer};type=private", self.token(signer))
    }

    /// CKA_ID of this signer's key, in hexadecimal.
    pub fn id(&self, signer: &str) -> &'static str {
        match signer {
            "demo-rsa" => "01",
            "demo-ec" => "02",
            "demo-approval" => "03",
            "demo-hidden" => "04",
            other => panic!("no signer `{other}` in the demo"),
        }
    }

    /// A configuration of SunPKCS11 for this signer's token.
    pub fn java_configuration(&self, signer: &str) -> PathBuf {
        if self.bare_token.is_none() {
            return self.demo.path(&format!("tools/{signer}.p11.cfg"));
        }
        let path = self.demo.path("tools/bare.p11.cfg");
        let text = format!("name = bare\nlibrary = {}\nslot = {}\n", self.module.display(), self.first_slot());
        fs::write(&path, text).unwrap();
        path
    }

    /// A configuration of openssl's engine for this way.
    pub fn openssl_configuration(&self) -> PathBuf {
        if self.bare_token.is_none() {
            return self.demo.path("tools/openssl.cnf");
        }
        let path = self.demo.path("tools/bare.cnf");
        let gate = fs::read_to_string(self.demo.path("tools/openssl.cnf")).unwrap();
        let module = self.demo.exported("SIGNGATE_MODULE");
        let text = gate.replace(module, &self.module.display().to_string());
        fs::write(&path, text.replace(self.demo.exported("SIGNGATE_PIN"), self.pin)).unwrap();
        path
    }

    /// pkcs11-tool, logged in to this signer's token, about the object with the signer's CKA_ID.
    pub fn pkcs11_tool(&self, signer: &str) -> Command {
        let mut command = self.demo.command("pkcs11-tool");
        command.arg("--module").arg(self.module).args(["--token-label", self.token(signer), "--id", self.id(signer)]);
        command.args(["--login", "--pin", "env:TEST_PIN"]).env("TEST_PIN", self.pin);
        command
    }

    fn first_slot(&self) -> u64 {
        let mut list = self.demo.command("pkcs11-tool");
        list.arg("--module").arg(self.module).arg("--list-slots");
        let listed = Ran::of(&mut list).succeeded().stdout;
        let number = listed.split_once("(0x").and_then(|(_, rest)| rest.split_once(')')).expect("a slot").0;
        u64::from_str_radix(number, 16).unwrap()
    }
}
