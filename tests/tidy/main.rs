//! The project's own rules, checked on its source: who may use whom, where `unsafe` may stand, what a file looks like.
//! A rule is a function from a file to the list of what is wrong with it, and each is shown to find a bad sample.
//! Never excuses a file by name: a rule that does not fit is changed here, with its reason. Read next: CONTRIBUTING.md.

mod linked;
mod rust_text;

use rust_text::{code_only, follows, grouped, without_tests, words};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 500;
/// The only modules that may touch raw memory.
const UNSAFE_MODULES: [&str; 2] = ["abi", "backend"];
/// Decide and believe from their arguments alone.
const PURE_MODULES: [&str; 2] = ["policy", "trust"];
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::atomic",
    "parking_lot",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
];

struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The top-level module a file of the library belongs to: `gate` for `src/gate/sign.rs`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next()?.trim_end_matches(".rs")).filter(|name| !["lib", "main", "cli"].contains(name))
    }
}

type Rule = fn(&Source) -> Vec<String>;

#[test]
fn every_source_file_keeps_the_rules() {
    let rules: [Rule; 6] =
        [opens_with_its_purpose, is_short, has_no_loose_ends, keeps_unsafe_in_its_place, is_pure, keeps_abi_closed];
    let sources = rust_sources();
    assert!(sources.len() > 20, "found only {} files: this test looks in the wrong place", sources.len());
    report(sources.iter().flat_map(|source| rules.iter().flat_map(move |rule| rule(source))).collect());
}

#[test]
fn modules_use_only_what_stands_above_them_in_lib_rs() {
    let order = module_order(&read("src/lib.rs"));
    let expected = "policy trust platform config identity ledger audit policy_cache gate backend abi";
    assert_eq!(order.join(" "), expected, "the dependency order is a decision: change ARCHITECTURE.md with it");
    report(rust_sources().iter().flat_map(|source| edges(source, &order)).collect());
}

#[test]
fn decision_records_and_links_that_are_cited_exist() {
    let mut problems = Vec::new();
    for file in files(&["src", "tests", "benches", "examples", "ci", "docs", "include"], &["rs", "md", "h", "c", ""]) {
        let source = Source::new(&file, &read(&file));
        problems.extend(cited_records(&source, &record_numbers()));
        problems.extend(cited_pages(&source, &|path| root().join(path).exists()));
    }
    for file in files(&[".", "docs"], &["md"]) {
        problems.extend(broken_links(&Source::new(&file, &read(&file)), &|path| root().join(path).exists()));
    }
    report(problems);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        report(unexplained_dependencies(&Source::new(manifest, &read(manifest))));
    }
}

#[test]
fn the_commands_readme_starts_with_can_be_run() {
    let readme = read("README.md");
    assert_eq!(first_commands(&readme), ["ci/demo", "ci/test"]);
    for command in
        ["ci/demo", "ci/test", ".ci/run", "ci/setup", "ci/build", "ci/e2e-image", "ci/check-module", "ci/package"]
    {
        let mode = std::fs::metadata(root().join(command)).expect(command).permissions().mode();
        assert!(mode & 0o111 != 0, "`{command}` is not executable");
    }
}

#[test]
fn each_published_attack_names_tests_that_exist() {
    let page = Source::new("docs/past-cves.md", &read("docs/past-cves.md"));
    let mut known: Vec<String> = rust_sources().iter().flat_map(|source| test_names(&source.text)).collect();
    known.extend(replayed_targets(&read("tests/fuzz_corpus/main.rs")));
    let rows = rust_sources().into_iter().filter(|source| source.path.starts_with("tests/bypass/row_"));
    known.extend(rows.flat_map(|source| attack_cases(&source.text)));
    assert!(known.len() > 500, "found only {} tests: this looks in the wrong place", known.len());
    report(unproved_answers(&page, &known));
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

// ---- rules for one file ----

fn opens_with_its_purpose(source: &Source) -> Vec<String> {
    let good = source.text.starts_with("//! ");
    if good { vec![] } else { vec![format!("{}: does not open with `//!`: say what the file is for", source.path)] }
}

fn is_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= MAX_LINES { vec![] } else { vec![format!("{}: {lines} lines, at most {MAX_LINES}", source.path)] }
}

fn has_no_loose_ends(source: &Source) -> Vec<String> {
    // In two halves, so that this list does not find itself.
    let banned =
        [("#[igno", "re"), ("TO", "DO"), ("FIX", "ME"), ("todo", "!"), ("unimplemented", "!"), ("[allo", "w(")];
    let banned = banned.map(|(start, end)| format!("{start}{end}"));
    let found = |(number, line): (usize, &str)| {
        let word = banned.iter().find(|word| line.contains(*word))?;
        Some(format!("{}:{}: `{word}`", source.path, number + 1))
    };
    source.text.lines().enumerate().filter_map(found).collect()
}

fn keeps_unsafe_in_its_place(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") {
        return vec![];
    }
    let allowed = source.module().is_some_and(|module| UNSAFE_MODULES.contains(&module));
    let code = code_only(&source.text);
    let (raw, code): (Vec<&str>, Vec<&str>) = (source.text.lines().collect(), code.lines().collect());
    let mut problems = Vec::new();
    for (index, line) in code.iter().enumerate().filter(|(_, line)| words(line).any(|word| word == "unsafe")) {
        let place = format!("{}:{}", source.path, index + 1);
        if !allowed {
            problems.push(format!("{place}: `unsafe` outside of {UNSAFE_MODULES:?}"));
        } else if (line.contains("unsafe {") || line.contains("unsafe impl"))
            && !says_why_it_is_safe(&raw, &code, index)
        {
            problems.push(format!("{place}: `unsafe` without a `// SAFETY:` comment above it"));
        }
    }
    problems
}

/// The comment stands on the line or above it; only comments, attributes and the statement's own lines lie between.
fn says_why_it_is_safe(raw: &[&str], code: &[&str], line: usize) -> bool {
    if raw[line].contains("// SAFETY:") {
        return true;
    }
    for above in (0..line).rev() {
        if raw[above].trim_start().starts_with("// SAFETY:") {
            return true;
        }
        let code = code[above].trim();
        if raw[above].trim().is_empty() || code.ends_with([';', '{', '}']) {
            return false;
        }
    }
    false
}

fn is_pure(source: &Source) -> Vec<String> {
    let is_test = source.path.ends_with("/tests.rs") || source.path.contains("/tests/");
    if is_test || !source.module().is_some_and(|module| PURE_MODULES.contains(&module)) {
        return vec![];
    }
    let code = without_tests(&code_only(&source.text)).replace(char::is_whitespace, "");
    let named = |name: &&&str| match name.split_once("std::") {
        Some((_, rest)) => code.contains(**name) || grouped(&code, "std::{").any(|item| item.starts_with(rest)),
        None => code.contains(**name),
    };
    let problem =
        |name: &&str| format!("{}: names `{name}`; policy and trust decide from their arguments alone", source.path);
    IMPURE.iter().filter(named).map(problem).collect()
}

fn keeps_abi_closed(source: &Source) -> Vec<String> {
    let command = source.path == "src/main.rs" || source.path.starts_with("src/cli/");
    let code = code_only(&source.text).replace(char::is_whitespace, "");
    let names_abi = code.contains("signgate_pkcs11::abi")
        || grouped(&code, "signgate_pkcs11::{").any(|item| item == "abi" || item.starts_with("abi::"));
    if command && names_abi {
        vec![format!("{}: the command uses `abi`, the door for C callers", source.path)]
    } else {
        vec![]
    }
}

/// What a file uses of modules that stand below its own.
fn edges(source: &Source, order: &[String]) -> Vec<String> {
    let Some(own) = source.module().and_then(|module| order.iter().position(|name| name == module)) else {
        return vec![];
    };
    let code = code_only(&source.text).replace(char::is_whitespace, "");
    let names = |below: &String| {
        let at_start = |item: &str| item.split("::").next() == Some(below);
        let in_group = grouped(&code, "crate::{").any(|item| at_start(&item));
        let folder = Path::new(&source.path).parent().map(|folder| root().join(folder).join(below));
        let sibling = folder.is_some_and(|path| path.is_dir() || path.with_extension("rs").is_file());
        in_group || follows(&code, "crate::", below) || (!sibling && follows(&code, "super::", below))
    };
    let problem = |below: &String| format!("{}: uses `{below}`, which stands below it in lib.rs", source.path);
    // What lib.rs lends to `platform`, of a module below it (ADR 0018), is for nobody else.
    let lent = (order[own] != "platform").then(|| "SYSTEM".to_owned());
    order[own + 1..].iter().chain(&lent).filter(|below| names(below)).map(problem).collect()
}

fn cited_records(source: &Source, records: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for marker in ["docs/adr/", "](adr/", "ADR "] {
        for (at, _) in source.text.match_indices(marker) {
            let number: String = source.text[at + marker.len()..].chars().take_while(char::is_ascii_digit).collect();
            if number.len() == 4 && !records.contains(&number) {
                problems.push(format!("{}: cites decision record {number}, which is not in docs/adr", source.path));
            }
        }
    }
    problems
}

fn cited_pages(source: &Source, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let path = |at: usize| -> String {
        let rest = source.text[at..].chars();
        rest.take_while(|&c| c.is_ascii_alphanumeric() || "/._-".contains(c)).collect()
    };
    let cited = source.text.match_indices("docs/").map(|(at, _)| path(at));
    let pages = cited.filter(|path| path.ends_with(".md"));
    let missing = pages.filter(|path| !exists(Path::new(path)));
    missing.map(|path| format!("{}: cites `{path}`, which does not exist", source.path)).collect()
}

fn broken_links(source: &Source, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(&source.path).parent().unwrap_or(Path::new(""));
    let targets = source.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = targets.filter(|target| !target.contains("://") && !target.starts_with(['#', '<']));
    let missing = local.filter(|target| !exists(&folder.join(target.split('#').next().unwrap_or(target))));
    missing.map(|target| format!("{}: links to `{target}`, which does not exist", source.path)).collect()
}

fn unexplained_dependencies(source: &Source) -> Vec<String> {
    let (mut section, mut above) = ("", "");
    let mut problems = Vec::new();
    for line in source.text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section.ends_with("dependencies")
            && line.contains(" = ")
            && !line.starts_with('#')
            && !above.starts_with('#')
        {
            problems.push(format!("{}: `{line}` has no comment above it that says why it is there", source.path));
        }
        above = line;
    }
    problems
}

/// The lines of the first code block: what a newcomer runs.
fn first_commands(readme: &str) -> Vec<&str> {
    let block = readme.split("```").nth(1).unwrap_or_default();
    block.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

/// Rows of a table whose last cell names no test, or one that is not there.
fn unproved_answers(page: &Source, known: &[String]) -> Vec<String> {
    let rows = page.text.lines().enumerate().filter(|(_, line)| line.starts_with('|') && !line.starts_with("|---"));
    let mut problems = Vec::new();
    for (number, line) in rows {
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        let place = format!("{}:{}", page.path, number + 1);
        if named.is_empty() && last != "tests" {
            problems.push(format!("{place}: names no test"));
        }
        let missing = named.iter().filter(|name| !known.iter().any(|one| one == *name));
        problems.extend(missing.map(|name| format!("{place}: there is no test `{name}`")));
    }
    problems
}

/// The functions under `#[test]`.
fn test_names(text: &str) -> Vec<String> {
    let after = text.split("#[test]").skip(1).filter_map(|rest| rest.split_once("fn "));
    after.filter_map(|(_, rest)| rest.split(['(', '<']).next()).map(str::to_owned).collect()
}

/// The tests that `cases!` of tests/bypass makes: `    name: …`, and of functions: `name C_Function;`.
fn attack_cases(text: &str) -> Vec<String> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
    let named = |line: &str| {
        let case = line.strip_prefix("    ").and_then(|line| line.split_once(':')).map(|(name, _)| name);
        let function = line.trim().strip_suffix(';').and_then(|line| line.split_once(" C_")).map(|(name, _)| name);
        case.filter(|name| is_name(name)).or(function.filter(|name| is_name(name))).map(str::to_owned)
    };
    text.lines().filter_map(named).collect()
}

/// The tests that the list of fuzz targets makes: `name: "target";`.
fn replayed_targets(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| line.ends_with("\";"));
    lines.filter_map(|line| line.split_once(": \"")).map(|(name, _)| name.to_owned()).collect()
}

// ---- reading the repository ----

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"))
}

fn rust_sources() -> Vec<Source> {
    let paths = files(&["src", "tests", "benches", "examples", "fuzz/src", "fuzz/fuzz_targets"], &["rs"]);
    paths.into_iter().map(|path| Source { text: read(&path), path }).collect()
}

/// Files under the folders with one of the extensions, relative to the repository; "." is looked at without its folders.
fn files(folders: &[&str], extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && folder != root().join(".") {
                open.push(path);
            } else if path.is_file() && extensions.contains(&extension.as_str()) {
                let relative = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
                found.push(relative.trim_start_matches("./").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn module_order(lib: &str) -> Vec<String> {
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    declared.map(str::to_owned).collect()
}

fn record_numbers() -> Vec<String> {
    files(&["docs/adr"], &["md"])
        .iter()
        .filter_map(|path| path.strip_prefix("docs/adr/")?.get(..4).map(str::to_owned))
        .collect()
}

// ---- each rule finds a bad sample, and leaves a good one alone ----

#[test]
fn the_rules_for_one_file_find_what_they_look_for() {
    let bad: [(Rule, &str, &str); 14] = [
        (opens_with_its_purpose, "src/a.rs", "use std::fmt;\n"),
        (is_short, "src/a.rs", &"\n".repeat(MAX_LINES + 1)),
        (has_no_loose_ends, "src/a.rs", &["//! A.\n// TO", "DO: later"].concat()),
        (has_no_loose_ends, "tests/a.rs", &["#[igno", "re]"].concat()),
        (has_no_loose_ends, "src/a.rs", &["#![allo", "w(dead_code)]"].concat()),
        (keeps_unsafe_in_its_place, "src/gate/sign.rs", "fn a() {\n    // SAFETY: not here\n    unsafe { b() }\n}"),
        (keeps_unsafe_in_its_place, "src/cli/demo.rs", "unsafe extern \"C\" fn a() {}"),
        (keeps_unsafe_in_its_place, "src/platform/unix.rs", "unsafe extern \"C\" fn a() {}"),
        (keeps_unsafe_in_its_place, "src/platform/windows/file.rs", "let a = unsafe { b() };"),
        (keeps_unsafe_in_its_place, "src/abi/entry.rs", "// SAFETY: of another\nlet a = 1;\nlet b = unsafe { c() };"),
        (is_pure, "src/policy/decide.rs", "use std::fs;"),
        (is_pure, "src/policy/decide.rs", "use std::{fmt, env};"),
        (is_pure, "src/trust/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; }\nfn a() { jiff::Timestamp::now() }"),
        (keeps_abi_closed, "src/cli/doctor.rs", "use signgate_pkcs11::{abi::table, policy};"),
    ];
    for (rule, path, text) in bad {
        assert_eq!(rule(&Source::new(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn the_rules_for_one_file_leave_good_files_alone() {
    let good: [(Rule, &str, &str); 9] = [
        (keeps_unsafe_in_its_place, "src/abi/entry.rs", "// SAFETY: checked\n// above.\nlet b =\n    unsafe { c() };"),
        (
            keeps_unsafe_in_its_place,
            "src/gate/sign.rs",
            "// unsafe\nlet a = \"unsafe {\"; let b = 'u'; let c = r#\"unsafe \" {\"#;",
        ),
        (keeps_unsafe_in_its_place, "src/lib.rs", "#![deny(unsafe_code)]"),
        (keeps_unsafe_in_its_place, "tests/a.rs", "unsafe { a() }"),
        (is_pure, "src/policy/decide.rs", "use std::{fmt, sync::Arc};\n#[cfg(test)]\nmod tests {\n use std::fs;\n}"),
        (is_pure, "src/policy/decide/tests.rs", "use std::fs;"),
        (is_pure, "src/gate/sign.rs", "use std::fs;"),
        (keeps_abi_closed, "src/cli/doctor.rs", "use signgate_pkcs11::gate;"),
        (has_no_loose_ends, "src/a.rs", "#[expect(dead_code, reason = \"read by C\")]"),
    ];
    for (rule, path, text) in good {
        assert_eq!(rule(&Source::new(path, text)), [""; 0], "{path}: {text}");
    }
}

#[test]
fn an_edge_against_the_order_is_found_however_it_is_written() {
    let order = ["policy", "trust", "platform", "gate", "abi"].map(str::to_owned);
    let found = |path, text| edges(&Source::new(path, text), &order).len();
    for text in [
        "use crate::gate::sign;",
        "use crate::{fmt, gate};",
        "use crate::{\n    trust::{a, b},\n};",
        "super::gate::A",
        "crate::abi::x()",
    ] {
        assert_eq!(found("src/policy/decide.rs", text), 1, "{text}");
    }
    for text in [
        "use crate::policy::Policy;",
        "// crate::gate",
        "use crate::{policy::{gate, abi}};",
        "crate::gateway::x()",
        "self.gate::<u8>()",
    ] {
        assert_eq!(found("src/trust/mod.rs", text), 0, "{text}");
    }
    assert_eq!(found("src/cli/mod.rs", "use crate::gate;"), 0, "the command stands below all");
    let lent = "use crate::{\n    SYSTEM,\n    policy::Policy,\n};";
    assert_eq!((found("src/gate/sign.rs", lent), found("src/platform/windows/file.rs", lent)), (1, 0));
}

#[test]
fn missing_records_pages_links_comments_and_commands_are_found() {
    // In two halves, so that the samples are not taken for citations of this file.
    let sample = |path: &str, text: &str| {
        let docs = |text: &str| text.replace("D/", &["do", "cs/"].concat());
        Source::new(&docs(path), &docs(text))
    };
    let records = ["0001".to_owned()];
    assert_eq!(cited_records(&sample("a", "see D/adr/0002-no.md and D/adr/0001-yes.md"), &records).len(), 1);
    let exists = |path: &Path| path.ends_with("there.md");
    assert_eq!(cited_pages(&sample("a", "see D/gone.md, D/there.md. D/"), &exists).len(), 1);
    let text = "[a](there.md#part) [b](gone.md) [c](https://example.org) [d](#part)";
    assert_eq!(broken_links(&sample("D/a.md", text), &exists).len(), 1);
    let page = Source::new("a", "| attack | tests |\n|---|---|\n| one | `there` |\n| two | `gone` |\n| three | — |\n");
    let known = [test_names("#[test]\nfn there() {}"), replayed_targets("    here: \"target\";")].concat();
    assert_eq!(
        (known.as_slice(), unproved_answers(&page, &known).len()),
        (&["there", "here"].map(str::to_owned)[..], 2)
    );
    let manifest = "[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n[profile.release]\nlto = \"thin\"\n";
    assert_eq!(unexplained_dependencies(&Source::new("Cargo.toml", manifest)).len(), 1);
    assert_eq!(
        first_commands("# a\n\n```sh\nci/demo   # shows\nci/test\n```\n```\nother\n```\n"),
        ["ci/demo", "ci/test"]
    );
}
