//! Every row of the tables, the irregular spellings, the malformed strings, and inheritance against a naive oracle.

use super::*;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;

fn rows(text: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(text).unwrap()["rows"].as_array().unwrap().clone()
}

#[test]
fn every_string_of_the_tables_is_known_by_name_with_an_id_where_it_takes_one() {
    let tables = [
        rows(include_str!("../data/keyfactor-v2-strings.json")),
        rows(include_str!("../data/code-signing-strings.json")),
    ];
    assert_eq!(tables[0].len(), 123);
    for row in tables.iter().flatten() {
        let (text, scope) = (row["string"].as_str().unwrap(), row["scope"].as_str().unwrap());
        let with_id = text.replace('#', "5");
        let path = CATALOGUE.path(&with_id).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"));
        assert_eq!(CATALOGUE.path(&with_id.to_uppercase()).unwrap(), path);
        if text.contains('#') {
            assert!(CATALOGUE.path(text).unwrap_err().what.contains("literal `#`"), "{text}");
            assert_eq!(CATALOGUE.id_names(&path.without_last().unwrap().0), Some(scope));
        }
    }
}

#[test]
fn every_pair_of_version_one_translates_into_strings_of_version_two() {
    let pairs = rows(include_str!("../data/keyfactor-v1-pairs.json"));
    assert_eq!(pairs.len(), 59);
    for row in &pairs {
        let pair = row["pair"].as_str().unwrap();
        let paths = CATALOGUE.grants(pair).unwrap();
        assert!(!paths.is_empty() && paths.iter().all(|path| CATALOGUE.strings.contains_key(path)), "{pair}");
        assert_eq!(CATALOGUE.grants(&pair.replace(": ", ":").to_lowercase()).unwrap(), paths);
    }
    assert_eq!(CATALOGUE.pairs.len(), pairs.len());
}

#[test]
fn strings_that_are_malformed_or_unknown_say_so_with_a_suggestion() {
    for (text, what, fix) in [
        ("/certificates/collections/read/#/", "literal `#`", "the id itself"),
        ("/portal/read/#/", "literal `#`", "`/portal/read/`"),
        ("/portal/read/5/", "takes none", "`/portal/read/`"),
        ("/certificates/import/7/", "takes none", "`/certificates/import/`"),
        ("/certificates/collections/read/05/", "not an id", "as the policy has it"),
        ("/certificates/collections/read/4294967296/", "not an id", "as the policy has it"),
        ("/certificates/collections/raed/", "grants nothing", "`/certificates/collections/read/`"),
        ("/certificates/collections/read/five/", "grants nothing", "`/certificates/collections/read/`"),
        ("/certificates//read/", "empty segment", "/certificates/collections/read/5/"),
        ("/certificates/ read/", "white space", ""),
        ("Certificates: Raed", "grants nothing", "`Certificates: Read`"),
        ("/nonsense/of/some/length/", "grants nothing", "docs/"),
    ] {
        let flaw = CATALOGUE.grants(text).unwrap_err();
        assert!(flaw.what.contains(what) && flaw.fix.contains(fix), "{text}: {flaw:?}");
    }
}

#[test]
fn irregular_spellings_are_the_regular_string() {
    for (irregular, regular) in [
        ("/certificates/expanded_change_owner", "/certificates/expanded_change_owner/"),
        ("certificates/collections/read/5", "/certificates/collections/read/5/"),
        ("/Enrollment_Pattern/WRITE/", "/enrollment_pattern/write/"),
        ("", "/"),
    ] {
        assert_eq!(CATALOGUE.path(irregular).unwrap().to_string(), regular);
    }
    assert!(CATALOGUE.path("/enrollment_pattern/modify/").is_err());
}

#[test]
fn a_broad_string_tells_what_it_includes() {
    let broad = CATALOGUE.path("/certificates/").unwrap();
    let included: Vec<String> = CATALOGUE.included(&broad).into_iter().map(ToString::to_string).collect();
    assert!(included.contains(&"/certificates/collections/private_key/read/".to_owned()), "{included:?}");
    assert!(CATALOGUE.included(&CATALOGUE.path("/portal/read/").unwrap()).is_empty());
}

#[test]
fn an_area_gives_what_its_paths_cover() {
    let grants = |texts: &[&str]| -> Vec<Path> { texts.iter().map(|text| CATALOGUE.path(text).unwrap()).collect() };
    let area = Area::of("signers", &grants(&["/code_signing/signers/sign/5/", "/code_signing/signers/read/"]));
    for (verb, id, given) in [
        (Verb::Sign, Some(5), true),
        (Verb::Sign, Some(55), false),
        (Verb::Sign, None, false),
        (Verb::Read, Some(9), true),
        (Verb::Read, None, true),
        (Verb::Approve, Some(5), false),
    ] {
        assert_eq!(area.gives(verb, id), given, "{verb:?} {id:?}");
    }
    assert!(Verb::ALL.iter().all(|verb| Area::of("signers", &grants(&["/"])).gives(*verb, None)));
    assert!(!Area::of("signers", &grants(&["/certificates/"])).gives_any(Some(1)));
}

const WORDS: [&str; 6] = ["read", "reads", "5", "55", "a", "ab"];

proptest! {
    #[test]
    fn inheritance_is_that_of_a_naive_oracle(grant in vec(select(&WORDS), 0..4), request in vec(select(&WORDS), 0..5)) {
        // The oracle compares text: each segment closed by its slash, so that 5 is no beginning of 55.
        let text = |segments: &[&str]| format!("/{}", segments.iter().map(|one| format!("{one}/")).collect::<String>());
        let (grant, request) = (text(&grant), text(&request));
        let covers = Path::read(&grant).unwrap().covers(&Path::read(&request).unwrap());
        prop_assert_eq!(covers, request.starts_with(&grant), "{} {}", grant, request);
    }

    #[test]
    fn reading_a_string_never_panics(text in "[/a-z0-9#: _]{0,30}") {
        let _ = CATALOGUE.grants(&text);
    }
}
