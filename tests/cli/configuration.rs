//! Where the command finds its configuration, and how it says that it does not.

use super::transcript::{Workshop, machine_is_configured};

#[test]
fn a_wrong_configuration_is_shown_with_its_place() {
    let workshop = Workshop::new();
    workshop.write("signgate.toml", "mode = \"advisory\"\npolcy = \"policy.json\"\n");
    workshop.check(
        r#"
        $ signgate whoami
        ! signgate: configuration `DIR/signgate.toml`, line 2, column 1: unknown key `polcy`; did you mean `policy`?
        ! next: correct line 2 of DIR/signgate.toml
        [4]
        "#,
    );
}

#[test]
fn a_configuration_that_others_may_write_is_refused_with_the_command_that_mends_it() {
    let workshop = Workshop::new();
    workshop.set_mode("signgate.toml", 0o620);
    workshop.check(
        r#"
        $ signgate whoami
        ! signgate: configuration `DIR/signgate.toml`: others than its owner may write `DIR/signgate.toml` (mode 0620)
        ! next: chmod go-w DIR/signgate.toml
        [4]
        "#,
    );
}

#[test]
fn a_configuration_can_be_named_on_the_command_line() {
    let workshop = Workshop::new();
    workshop.write("other.toml", "mode = \"advisory\"\n");
    workshop.check(
        r#"
        $ signgate whoami --config other.toml
        ! signgate: configuration `DIR/other.toml`, line 1, column 1: `policy` is missing: it must be the path of the policy bundle
        ! next: correct line 1 of DIR/other.toml
        [4]
        "#,
    );
}

#[test]
fn without_a_configuration_the_places_are_named() {
    if machine_is_configured() {
        return super::support::skip("unconfigured", "this machine has /etc/signgate/signgate.toml");
    }
    let output = Workshop::new().command().arg("whoami").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "signgate: configuration `/etc/signgate/signgate.toml`: no configuration\n\
         next: write /etc/signgate/signgate.toml, or set SIGNGATE_CONFIG to the path of one\n"
    );
}

#[test]
fn stdout_that_nobody_reads_is_no_error() {
    use std::{io::Read, process::Stdio};
    let mut child = Workshop::new()
        .command()
        .args(["policy", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "");
}
