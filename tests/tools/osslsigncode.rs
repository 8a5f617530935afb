//! osslsigncode, which signs Windows programs.

use crate::{
    demo::Demo,
    door::Door,
    tool::{Need, Ran},
};
use std::{fs, process::Command};

/// Signs a Windows program into `work/signed.exe`.
fn sign(door: &Door<'_>, signer: &str) -> Ran {
    fs::write(door.demo.path("work/app.exe"), program()).unwrap();
    let mut command = door.demo.command("osslsigncode");
    command.args(["sign", "-pkcs11module"]).arg(door.module).arg("-key").arg(door.uri(signer));
    command.arg("-readpass").arg(door.pin_file());
    command.arg("-certs").arg(door.demo.path(&format!("certs/{signer}-chain.pem")));
    door.demo.run(command.args(["-h", "sha256", "-in", "app.exe", "-out", "signed.exe"]))
}

fn verify(demo: &Demo, file: &str) -> Ran {
    let mut command: Command = demo.command("osslsigncode");
    command.arg("verify").arg("-CAfile").arg(demo.path("certs/ca.pem"));
    demo.run(command.args(["-in", file]))
}

/// Headers and 0x200 bytes of code, as the linker of a Windows program lays them out (Microsoft's "PE Format").
fn program() -> Vec<u8> {
    let mut file = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    // COFF header: AMD64, one section, 240 bytes of optional header, executable.
    put(0x44, &[0x64, 0x86, 1, 0]);
    put(0x54, &[240, 0, 0x22, 0]);
    // Optional header: PE32+, entry point, image base, alignments, versions, sizes, console, 16 directories.
    put(0x58, &[0x0b, 0x02]);
    put(0x68, &0x1000_u32.to_le_bytes());
    put(0x70, &0x1_4000_0000_u64.to_le_bytes());
    put(0x78, &0x1000_u32.to_le_bytes());
    put(0x7c, &0x200_u32.to_le_bytes());
    put(0x88, &6_u16.to_le_bytes());
    put(0x90, &0x2000_u32.to_le_bytes());
    put(0x94, &0x200_u32.to_le_bytes());
    put(0x9c, &3_u16.to_le_bytes());
    put(0xc4, &16_u32.to_le_bytes());
    // The section table and the code: `ret`.
    put(0x148, b".text");
    put(0x150, &[1, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0]);
    put(0x16c, &0x6000_0020_u32.to_le_bytes());
    put(0x200, &[0xc3]);
    file
}

#[test]
fn osslsigncode_signs_with_rsa_and_ec_as_on_the_bare_token() {
    let test = "osslsigncode_signs_with_rsa_and_ec_as_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::Osslsigncode]) else { return };
    for door in [demo.bare(), demo.gate()] {
        for signer in ["demo-rsa", "demo-ec"] {
            sign(&door, signer).succeeded();
            let said = verify(&demo, "signed.exe").said("Signature verification: ok").stdout;
            assert!(said.contains(&format!("CN={signer}")), "{said}");
            let mut other = fs::read(demo.path("work/signed.exe")).unwrap();
            other[0x201] = 0x90;
            fs::write(demo.path("work/other.exe"), other).unwrap();
            verify(&demo, "other.exe").failed();
            fs::remove_file(demo.path("work/signed.exe")).unwrap();
        }
    }
}

#[test]
fn osslsigncode_without_an_approval_is_denied_and_says_why() {
    let test = "osslsigncode_without_an_approval_is_denied_and_says_why";
    let Some(demo) = Demo::new(test, &[Need::Osslsigncode]) else { return };
    sign(&demo.bare(), "demo-approval").succeeded();
    fs::remove_file(demo.path("work/signed.exe")).unwrap();
    sign(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.nothing_written("signed.exe");
}

#[test]
fn osslsigncode_runs_again_and_signs_once_the_request_it_was_refused_with_is_approved() {
    let test = "osslsigncode_runs_again_and_signs_once_the_request_it_was_refused_with_is_approved";
    let Some(demo) = Demo::new(test, &[Need::Osslsigncode]) else { return };
    let refused = sign(&demo.gate(), "demo-approval").denied("SG-APPROVAL-REQUIRED", "demo-approval");
    demo.approve_named_in(&refused);
    sign(&demo.gate(), "demo-approval").succeeded();
    verify(&demo, "signed.exe").said("Signature verification: ok");
}

#[test]
fn osslsigncode_finds_no_hidden_signer_though_its_key_signs_on_the_bare_token() {
    let test = "osslsigncode_finds_no_hidden_signer_though_its_key_signs_on_the_bare_token";
    let Some(demo) = Demo::new(test, &[Need::Osslsigncode]) else { return };
    sign(&demo.bare(), "demo-hidden").succeeded();
    fs::remove_file(demo.path("work/signed.exe")).unwrap();
    let ran = sign(&demo.gate(), "demo-hidden");
    assert_ne!(ran.code, Some(0), "{ran:#?}");
    demo.nothing_written("signed.exe");
    sign(&demo.gate(), "demo-ec").succeeded();
}
