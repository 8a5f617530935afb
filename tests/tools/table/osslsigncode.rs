//! osslsigncode: Authenticode for programs, installers, cabinets and PowerShell scripts.

use super::{ALWAYS, Cannot, PLAIN, Tool, ec, rsa};

/// Its command line for a kind of file.
macro_rules! sign {
    ($ending:literal) => {
        concat!(
            "osslsigncode sign -pkcs11module \"$MODULE\" -key \"$URI\" -pass \"$PIN\" -certs \"$CHAIN\" -h sha256 \\\n",
            "  -in in.",
            $ending,
            " -out out.",
            $ending
        )
    };
}

macro_rules! verify {
    ($ending:literal) => {
        concat!(
            "osslsigncode verify -CAfile \"$CA\" -in out.",
            $ending,
            " >verified\ngrep -F 'Signature verification: ok' verified && grep -F \"CN=$SIGNER\" verified"
        )
    };
}

const OSSLSIGNCODE: Tool = Tool {
    need: "osslsigncode",
    present: "command -v osslsigncode && openssl engine pkcs11",
    version: "osslsigncode --version 2>&1 | sed -n '1s/[^0-9]*\\([0-9.]*\\).*/\\1/p'",
    verifier: "osslsigncode verify without the module",
    rows: &[rsa("CKM_RSA_PKCS"), ec("CKM_ECDSA")],
    says: "PKCS#11 module:ERR_CKR_error:Function not supported",
    ..PLAIN
};

pub const OSSLSIGNCODE_PE: Tool = Tool {
    name: "osslsigncode, PE",
    signs: "a Windows program",
    verifier: "osslsigncode verify without the module, and sbverify",
    present: "command -v osslsigncode && command -v sbverify && openssl engine pkcs11",
    prepare: "cp program.exe in.exe",
    sign: sign!("exe"),
    output: "out.exe",
    verify: concat!(verify!("exe"), "\nsbverify --cert \"$CA\" out.exe"),
    spoil: "printf X | dd of=out.exe bs=1 seek=513 conv=notrunc",
    ..OSSLSIGNCODE
};

pub const OSSLSIGNCODE_MSI: Tool = Tool {
    name: "osslsigncode, MSI",
    signs: "a Windows installer, made by wixl",
    present: "command -v osslsigncode && command -v wixl && openssl engine pkcs11",
    prepare: r#"cat >in.wxs <<'END'
<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
  <Product Id="*" Name="signed" Language="1033" Version="1.0.0" Manufacturer="signgate"
      UpgradeCode="0f0e0d0c-0b0a-0908-0706-050403020100">
    <Package InstallerVersion="200" Compressed="yes"/>
    <Media Id="1" Cabinet="media.cab" EmbedCab="yes"/>
    <Directory Id="TARGETDIR" Name="SourceDir">
      <Component Id="data" Guid="0f0e0d0c-0b0a-0908-0706-050403020101"><File Id="data" Source="data"/></Component>
    </Directory>
    <Feature Id="all" Level="1"><ComponentRef Id="data"/></Feature>
  </Product>
</Wix>
END
wixl -o in.msi in.wxs"#,
    sign: sign!("msi"),
    output: "out.msi",
    verify: verify!("msi"),
    spoil: "offset=$(grep -abo 'MSCF' out.msi | head -n 1 | cut -d : -f 1)\nprintf X | dd of=out.msi bs=1 seek=$((offset + 40)) conv=notrunc",
    ..OSSLSIGNCODE
};

pub const OSSLSIGNCODE_CAB: Tool = Tool {
    name: "osslsigncode, CAB",
    signs: "a cabinet, made by gcab",
    present: "command -v osslsigncode && command -v gcab && openssl engine pkcs11",
    prepare: "gcab --create in.cab data",
    sign: sign!("cab"),
    output: "out.cab",
    verify: verify!("cab"),
    spoil: "offset=$(grep -abo 'what is signed' out.cab | head -n 1 | cut -d : -f 1)\nprintf X | dd of=out.cab bs=1 seek=\"$offset\" conv=notrunc",
    ..OSSLSIGNCODE
};

pub const OSSLSIGNCODE_PS1: Tool = Tool {
    name: "osslsigncode, PS1",
    signs: "a PowerShell script",
    prepare: "printf 'Write-Output \"signed\"\\r\\n' >in.ps1",
    sign: sign!("ps1"),
    output: "out.ps1",
    verify: verify!("ps1"),
    spoil: "sed -i '1s/signed/other!/' out.ps1",
    cannot: &[Cannot {
        distribution: Some("bookworm"),
        holds: "osslsigncode --version 2>&1 | grep -E '^osslsigncode 2\\.[0-7],'",
        why: "Debian 12's osslsigncode 2.5 does not know scripts; 2.9 of its backports does",
        error: Some("Unrecognized file type: in.ps1"),
        ..ALWAYS
    }],
    ..OSSLSIGNCODE
};
