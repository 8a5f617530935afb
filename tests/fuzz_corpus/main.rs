//! The fuzz targets as plain tests: each over its committed corpus in `tests/corpus`, and over inputs made of it by a fixed
//! series of changes. What a target asserts is in `fuzz/src`; this only feeds it. `ci/fuzz` runs the same targets for as
//! long as one likes; a finding becomes a file of the corpus. `SIGNGATE_MUTATIONS` sets how many changed inputs each
//! target gets. Read next: `seeds.rs`.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

mod change;
mod seeds;

use change::Dice;
use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target)
}

fn inputs(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = corpus(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a plain name");
        (name, fs::read(entry.path()).expect("an input"))
    };
    entries.map(|entry| read(entry.expect("an entry"))).collect()
}

/// How many changed inputs a target gets; the dear ones get fewer.
fn changed(target: &str) -> u32 {
    let asked = std::env::var("SIGNGATE_MUTATIONS").map_or(1_000, |count| count.parse().expect("a number"));
    match target {
        "abi_calls" | "bundle" | "mechanism" | "template" => asked / 2,
        _ => asked * 2,
    }
}

fn replay(target: &str) {
    let inputs = inputs(target);
    let (mut taken, mut refused) = (0, 0);
    let mut run = |name: &str, data: &[u8]| match catch_unwind(AssertUnwindSafe(|| targets::run(target, data))) {
        Ok(true) => taken += 1,
        Ok(false) => refused += 1,
        Err(_) => {
            let file = std::env::temp_dir().join(format!("signgate-{target}"));
            fs::write(&file, data).expect("a place for the input");
            panic!("`{target}` does not hold for {name}; the input is in {}", file.display());
        }
    };
    for (name, data) in &inputs {
        run(name, data);
    }
    let seeds: Vec<&Vec<u8>> = inputs.values().collect();
    let mut dice = Dice::new(target);
    for number in 0..changed(target) {
        run(&format!("change {number}"), &dice.changed(&seeds));
    }
    assert!(taken > 0 && refused > 0, "{taken} inputs taken and {refused} refused: the corpus shows only one side");
}

macro_rules! replayed {
    ($($test:ident: $target:literal;)*) => {
        $(
            #[test]
            fn $test() {
                replay($target);
            }
        )*

        const REPLAYED: &[&str] = &[$($target),*];
    };
}

replayed! {
    calls_of_any_order_give_no_signature_without_a_permit: "abi_calls";
    an_approval_says_one_thing_and_only_as_it_was_signed: "approval";
    an_archive_is_what_a_plain_reader_of_tar_finds: "archive";
    a_bundle_that_is_believed_keeps_every_rule: "bundle";
    a_checkpoint_is_what_its_lines_say: "checkpoint";
    a_configuration_reads_the_same_to_another_reader: "configuration";
    a_permit_has_its_reasons_in_the_text_of_the_policy: "decision";
    a_digest_info_is_one_to_a_strict_decoder_as_well: "digest_info";
    no_text_makes_two_lines_of_one: "escaping";
    a_token_is_believed_only_as_its_issuer_signed_it: "id_token";
    signed_json_is_one_tree_with_one_form: "json";
    a_mechanism_begins_only_with_parameters_in_range: "mechanism";
    a_policy_reads_the_same_however_it_is_written: "policy";
    a_public_key_has_one_identity: "public_key";
    a_record_is_one_object_with_one_encoding: "record";
    metadata_of_signtool_name_one_signer: "sign_metadata";
    an_ssh_key_is_the_same_key_to_another_reader: "ssh_key";
    an_ssh_signature_is_the_same_to_another_reader: "sshsig";
    a_search_finds_what_reading_shows: "template";
    a_memory_that_is_read_is_written_the_same: "trusted_state";
}

#[test]
fn every_target_is_replayed_and_every_folder_of_the_corpus_has_one() {
    let targets: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(REPLAYED, targets);
    let mut folders: Vec<String> = fs::read_dir(corpus(""))
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    folders.sort();
    assert_eq!(folders, targets);
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let manifest = fs::read_to_string(programs.with_file_name("Cargo.toml")).expect("the manifest of the targets");
    for target in targets {
        let program = fs::read_to_string(programs.join(format!("{target}.rs"))).expect("a program for the target");
        assert!(program.contains(&format!("run(\"{target}\", data)")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}

/// `UPDATE=1` writes the seeds anew; findings beside them stay.
#[test]
fn the_seeds_of_the_corpus_are_those_of_the_source() {
    for (target, name, data) in seeds::all() {
        let file = corpus(target).join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(corpus(target)).expect("a folder");
            fs::write(&file, &data).expect("a seed");
        }
        let stored = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(stored == data, "{} is another; UPDATE=1 writes it", file.display());
    }
}
