//! `include/signgate.h` and `docs/reason-codes.md` say what the source says: the lists in them are made from
//! `Reason::ALL`, and a C program that uses the header agrees with Rust.
//! Never edit the generated parts by hand: `UPDATE=1 cargo test --test header` writes them.

#[path = "support/required.rs"]
mod required;

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki_sys as ck;
use required::required;
use signgate_pkcs11::gate::{self, hresult::Answer, rv};
use signgate_pkcs11::policy::{Reason, ReasonClass};

#[test]
fn the_header_lists_the_reasons_of_the_source() {
    let mut list = format!("#define SIGNGATE_VERSION \"{}\"\n\n", env!("CARGO_PKG_VERSION"));
    list += "/* Each reason once: X(name, number, code). */\n#define SIGNGATE_REASONS(X)";
    for &reason in Reason::ALL {
        list += &format!(" \\\n    X({}, {}, \"{}\")", name(reason), reason.number(), reason.code());
    }
    list.push('\n');
    same_as_generated("include/signgate.h", "/* begin generated */\n", "/* end generated */\n", &list);
}

#[test]
fn the_documentation_lists_the_reasons_of_the_source() {
    let mut table =
        "| code | number | what it means | answer of PKCS#11 | what helps |\n|---|---|---|---|---|\n".to_owned();
    for &reason in Reason::ALL {
        let (code, number, meaning, next) = (reason.code(), reason.number(), reason.meaning(), reason.next());
        table += &format!("| `{code}` | {number} | {meaning} | {} | {next} |\n", answer(reason.class()));
    }
    same_as_generated("docs/reason-codes.md", "<!-- begin generated -->\n", "<!-- end generated -->\n", &table);
}

#[test]
fn the_header_and_the_documentation_list_the_answers_to_signtool() {
    let mut list = "/* Each answer once: X(name, value). */\n#define SIGNGATE_ANSWERS(X)".to_owned();
    let mut table = "| HRESULT | value | what it means |\n|---|---|---|\n".to_owned();
    for &answer in Answer::ALL {
        list += &format!(" \\\n    X(SIGNGATE_{}, {:#010x})", answer.name(), answer.code());
        table += &format!("| `{}` | `{:#010x}` | {} |\n", answer.name(), answer.code(), answer.meaning());
    }
    list.push('\n');
    same_as_generated("include/signgate.h", "/* begin answers */\n", "/* end answers */\n", &list);
    same_as_generated("docs/windows.md", "<!-- begin answers -->\n", "<!-- end answers -->\n", &table);
}

#[test]
fn a_c_program_with_the_header_says_what_rust_says() {
    let Some(program) = Program::compile("a_c_program_with_the_header_says_what_rust_says") else { return };
    let mut expected = format!("{}\n", env!("CARGO_PKG_VERSION"));
    for &answer in Answer::ALL {
        expected += &format!("SIGNGATE_{} {:08x}\n", answer.name(), answer.code());
    }
    for &reason in Reason::ALL {
        expected += &format!("{} {} {}\n", name(reason), reason.number(), reason.code());
        let answer = program.run(&[reason.code()]);
        assert_eq!(answer, (true, format!("{}\n", reason.number())));
    }
    assert_eq!(program.run(&[]), (true, expected));
    assert_eq!(program.run(&["SG-NO-SUCH-REASON"]), (false, "0\n".to_owned()));
}

/// `SG-APPROVAL-REQUIRED` is `SIGNGATE_APPROVAL_REQUIRED` in C.
fn name(reason: Reason) -> String {
    reason.code().replacen("SG", "SIGNGATE", 1).replace('-', "_")
}

/// The return codes a caller sees: before the data is known, and with it where that differs.
fn answer(class: ReasonClass) -> String {
    let [early, late] = [false, true].map(|late| name_of(rv::code(gate::Error::Denied { class, late })));
    if early == late { format!("`{early}`") } else { format!("`{early}`; with the data `{late}`") }
}

fn name_of(code: ck::CK_RV) -> &'static str {
    match code {
        ck::CKR_DATA_INVALID => "CKR_DATA_INVALID",
        ck::CKR_FUNCTION_FAILED => "CKR_FUNCTION_FAILED",
        ck::CKR_FUNCTION_REJECTED => "CKR_FUNCTION_REJECTED",
        ck::CKR_KEY_FUNCTION_NOT_PERMITTED => "CKR_KEY_FUNCTION_NOT_PERMITTED",
        ck::CKR_MECHANISM_INVALID => "CKR_MECHANISM_INVALID",
        ck::CKR_USER_NOT_LOGGED_IN => "CKR_USER_NOT_LOGGED_IN",
        other => panic!("give {other:#x} its name here"),
    }
}

/// Compares what stands between two marks of a file; with UPDATE=1, writes it.
fn same_as_generated(file: &str, begin: &str, end: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).expect(file);
    let (before, rest) = text.split_once(begin).expect("the mark where it begins");
    let (found, after) = rest.split_once(end).expect("the mark where it ends");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).expect(file);
    } else {
        assert_eq!(found, expected, "`{file}` is out of date; run UPDATE=1 cargo test --test header");
    }
}

struct Program {
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Program {
    /// `None` where there is no C compiler: skipped, or failed where one is required.
    fn compile(test: &str) -> Option<Program> {
        if Command::new("cc").arg("--version").output().is_err() {
            assert!(!required("cc"), "no `cc`, and SIGNGATE_REQUIRE names it");
            println!("skipped: {test} (no C compiler `cc`)");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("header");
        let compiled = Command::new("cc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
            .arg(root.join("include"))
            .arg(root.join("tests/header.c"))
            .arg("-o")
            .arg(&file)
            .output()
            .expect("cc");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Some(Program { file, _folder: folder })
    }

    /// Whether it succeeded, and what it printed.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(&self.file).args(arguments).output().expect("the compiled program");
        (output.status.success(), String::from_utf8(output.stdout).expect("text"))
    }
}
