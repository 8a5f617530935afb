//! The jobs for build servers: their steps are run as the server would run them, in a shell with its variables.

use crate::{
    folder::Demo,
    tool::{Need, Ran},
};
use std::{env, fs, path::Path};

/// The lines of the block that begins after this one, without their indentation.
fn block<'t>(text: &'t str, begins: &str) -> Vec<&'t str> {
    let mut lines = text.lines().skip_while(|line| line.trim() != begins).skip(1).peekable();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let indent = lines.peek().map_or(0, |line| depth(line));
    lines.take_while(|line| depth(line) >= indent && !line.trim().is_empty()).map(str::trim).collect()
}

fn runs(demo: &Demo, script: &str, variable: &str) {
    fs::write(demo.work("release.bin"), b"what is signed in the tests\n").unwrap();
    let _ = fs::remove_file(demo.work("release.bin.sig"));
    let beside = Path::new(env!("CARGO_BIN_EXE_signgate")).parent().unwrap();
    let path = format!("{}:{}", beside.display(), env::var("PATH").unwrap());
    let mut shell = demo.command("sh");
    shell.args(["-e", "-c", script]).env("PATH", path).env(variable, demo.work("")).env("SIGNGATE_PIN", "none");
    Ran::of(&mut shell).succeeded();
    demo.verified("demo-rsa", "release.bin.sig");
}

#[test]
fn the_jobs_of_build_servers_sign() {
    let Some(demo) = Demo::new("the_jobs_of_build_servers_sign", &[Need::OpensslEngine]) else { return };
    let read = |tool: &str, file: &str| fs::read_to_string(demo.written(tool, "demo-rsa").join(file)).unwrap();
    let github = read("github-actions", "sign.yml");
    runs(&demo, &block(&github, "run: |").join("\n"), "RUNNER_TEMP");
    let gitlab = read("gitlab", "signgate.gitlab-ci.yml");
    let lines: Vec<&str> = block(&gitlab, "script:").into_iter().filter_map(|line| line.strip_prefix("- ")).collect();
    runs(&demo, &lines.join("\n"), "CI_PROJECT_DIR");
    let jenkins = read("jenkins", "Jenkinsfile");
    let script = jenkins.split("'''").nth(1).unwrap();
    runs(&demo, script, "WORKSPACE_TMP");
}
