//! The versions of the tools that were really run, per distribution: tests/tools/versions.txt, a line for each. Written
//! by `UPDATE=1` when the cases run in the containers; docs/tools.md shows them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Mutex};

/// Distribution and tool to version.
pub type Versions = BTreeMap<(String, String), String>;

static WRITING: Mutex<()> = Mutex::new(());

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/versions.txt")
}

/// What the file says.
pub fn recorded() -> Versions {
    let text = fs::read_to_string(file()).unwrap_or_default();
    let parts = text
        .lines()
        .filter_map(|line| line.split_once('\t').and_then(|(place, rest)| Some((place, rest.split_once('\t')?))));
    parts.map(|(place, (tool, version))| ((place.to_owned(), tool.to_owned()), version.to_owned())).collect()
}

/// Puts a version in, if that is asked for; otherwise the file must know the tool.
pub fn ran(distribution: &str, tool: &str, version: &str) {
    let key = (distribution.to_owned(), tool.to_owned());
    if std::env::var_os("UPDATE").is_none() {
        assert!(
            recorded().contains_key(&key),
            "tests/tools/versions.txt lacks `{tool}` of {distribution}; run this once more with UPDATE=1"
        );
        return;
    }
    let _writing = WRITING.lock().expect("no test panicked while it wrote");
    let mut versions = recorded();
    versions.insert(key, version.to_owned());
    let lines: String =
        versions.iter().map(|((place, tool), version)| format!("{place}\t{tool}\t{version}\n")).collect();
    fs::write(file(), lines).expect("the file of the versions");
}
