//! docs/tools.md says what the table says: the part between its marks is made from `table/` and versions.txt.
//! Never edit that part by hand: `UPDATE=1 cargo test --test tools the_documentation` writes it.

use crate::{
    table::{Cannot, Key, Shows, TOOLS, Tool},
    versions::{Versions, recorded},
};
use std::{fmt::Write, path::Path};

const DISTRIBUTIONS: [(&str, &str); 2] = [("bookworm", "Debian 12"), ("trixie", "Debian 13")];

#[test]
fn the_documentation_says_what_the_table_says() {
    let versions = recorded();
    for (distribution, name) in versions.keys() {
        let known =
            TOOLS.iter().any(|tool| tool.name == name) && DISTRIBUTIONS.iter().any(|(one, _)| one == distribution);
        assert!(known, "tests/tools/versions.txt names `{name}` of {distribution}, which is not in the table");
    }
    same_as_generated(&format!("\n{}{}", matrix(&versions), commands()));
}

/// Tools by distributions: the version that was run, what it signs with, or why it does not.
fn matrix(versions: &Versions) -> String {
    let mut text =
        "| tool | signs | Debian 12 | Debian 13 | keys and mechanisms | checked by |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for tool in TOOLS {
        let places = DISTRIBUTIONS.map(|(distribution, _)| {
            let version = versions.get(&(distribution.to_owned(), tool.name.to_owned()));
            match (whole(tool, distribution), version) {
                (Some(_), Some(version)) => format!("no ({version})"),
                (Some(_), None) => "no".to_owned(),
                (None, Some(version)) => version.clone(),
                (None, None) => "not run yet".to_owned(),
            }
        });
        let mechanisms: Vec<String> = tool
            .rows
            .iter()
            .map(|row| format!("{} `{}`", kind(row.key), row.mechanism.replace(" or ", "` or `")))
            .collect();
        let Tool { name, signs, verifier, .. } = tool;
        writeln!(
            text,
            "| {name} | {signs} | {} | {verifier} |",
            [places.join(" | "), mechanisms.join(", ")].join(" | ")
        )
        .expect("a string");
    }
    text += "\n### What does not work, and why\n\n";
    for tool in TOOLS {
        for Cannot { distribution, key, why, error, .. } in tool.cannot {
            let place =
                DISTRIBUTIONS.iter().find(|(one, _)| Some(*one) == *distribution).map(|(_, name)| format!(", {name}"));
            let keys = key.map(|key| format!(", {} keys", kind(key))).unwrap_or_default();
            let error = error.map(|error| format!(" (`{error}`)")).unwrap_or_default();
            writeln!(text, "- {}{}{keys}: {why}{error}.", tool.name, place.unwrap_or_default()).expect("a string");
        }
    }
    text += "\n### What a refusal looks like\n\n| tool | its own words | the gate's line |\n|---|---|---|\n";
    for tool in TOOLS.iter().filter(|tool| !tool.rows.is_empty()) {
        let line = match tool.shows {
            Shows::Line => "beside them",
            Shows::Last => "hidden; `signgate last` tells it",
        };
        writeln!(text, "| {} | `{}` | {line} |", tool.name, tool.says).expect("a string");
    }
    text
}

/// The commands as they are run.
fn commands() -> String {
    let mut text = "\n## Commands\n".to_owned();
    for tool in TOOLS.iter().filter(|tool| !tool.rows.is_empty()) {
        write!(text, "\n### {}\n\n", tool.name).expect("a string");
        if !tool.remark.is_empty() {
            write!(text, "{}\n\n", tool.remark).expect("a string");
        }
        writeln!(text, "```sh\n{}\n```", tool.sign).expect("a string");
        if let Some(options) = options(tool) {
            writeln!(text, "\nwith `SIGN_WITH` {options}.").expect("a string");
        }
    }
    text
}

/// The rows' own options, if any.
fn options(tool: &Tool) -> Option<String> {
    if !tool.sign.contains("$SIGN_WITH") {
        return None;
    }
    let each = tool.rows.iter().map(|row| match row.sign_with {
        "" => format!("empty for {} `{}`", kind(row.key), row.mechanism),
        options => format!("`{options}` for {} `{}`", kind(row.key), row.mechanism),
    });
    Some(each.collect::<Vec<_>>().join(", "))
}

/// Why the tool does not work there at all.
fn whole(tool: &Tool, distribution: &str) -> Option<&'static Cannot> {
    tool.cannot.iter().find(|one| one.key.is_none() && one.distribution.is_none_or(|name| name == distribution))
}

fn kind(key: Key) -> &'static str {
    match key {
        Key::Rsa => "RSA",
        Key::Ec => "EC",
    }
}

/// Compares what stands between the marks of the document; with UPDATE=1, writes it.
fn same_as_generated(expected: &str) {
    let (begin, end) = ("<!-- begin generated -->\n", "<!-- end generated -->\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tools.md");
    let text = std::fs::read_to_string(&path).expect("docs/tools.md");
    let (before, rest) = text.split_once(begin).expect("the mark where it begins");
    let (found, after) = rest.split_once(end).expect("the mark where it ends");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).expect("docs/tools.md");
    } else {
        let next = "docs/tools.md is out of date; run UPDATE=1 cargo test --test tools the_documentation";
        assert_eq!(found, expected, "{next}");
    }
}
