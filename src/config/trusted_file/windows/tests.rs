//! Tests of `windows.rs`: made-up lists of rights, and real files of the machine that runs them.

use super::*;
use crate::platform::{Account, Entry};

fn account(parts: &[u32]) -> Account {
    let authority = if parts == [0] { 1 } else { 5 };
    let mut bytes = vec![1, u8::try_from(parts.len()).unwrap(), 0, 0, 0, 0, 0, authority];
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    Account::of(&bytes).unwrap()
}

const READ: u32 = FILE_GENERIC_READ;

fn judged(owner: &[u32], entries: &[(&[u32], u32)], owners: Owners, changes: u32) -> Result<bool, String> {
    let allowed = entries
        .iter()
        .map(|(parts, mask)| Entry { account: account(parts), mask: *mask, is_inherited_only: false })
        .collect();
    let rights = Rights { owner: account(owner), allowed: Some(allowed) };
    judge_rights(&rights, owners, changes).map_err(|problem| match problem {
        Problem::Owner { uid, .. } => format!("owner {uid}"),
        Problem::Writable { by } => format!("writable by {by}"),
        other => format!("{other:?}"),
    })
}

const ADMINISTRATORS: &[u32] = &[32, 544];
const SYSTEM: &[u32] = &[18];
const EVERYONE: &[u32] = &[0];
const USERS: &[u32] = &[32, 545];
const ALICE: &[u32] = &[21, 1, 2, 3, 1001];
const BOB: &[u32] = &[21, 1, 2, 3, 1002];

#[test]
fn what_only_administrators_can_write_is_theirs() {
    let entries = [(ADMINISTRATORS, GENERIC_ALL), (SYSTEM, FILE_WRITE_DATA), (USERS, READ), (EVERYONE, READ)];
    assert_eq!(judged(ADMINISTRATORS, &entries, Owners::Root, CHANGES_FILE), Ok(true));
}

#[test]
fn what_the_caller_can_write_is_believed_and_not_the_administrators() {
    let owners = Owners::RootOr(account(ALICE));
    assert_eq!(judged(ALICE, &[(ALICE, GENERIC_ALL)], owners, CHANGES_FILE), Ok(false));
    let entries = [(ADMINISTRATORS, GENERIC_ALL), (ALICE, FILE_APPEND_DATA)];
    assert_eq!(judged(ADMINISTRATORS, &entries, owners, CHANGES_FILE), Ok(false));
    assert_eq!(
        judged(ADMINISTRATORS, &entries, Owners::Root, CHANGES_FILE),
        Err("writable by S-1-5-21-1-2-3-1001".into())
    );
}

#[test]
fn each_right_that_changes_a_file_is_too_much_for_anybody_else() {
    let owners = Owners::RootOr(account(ALICE));
    for right in [FILE_WRITE_DATA, FILE_APPEND_DATA, DELETE, WRITE_DAC, WRITE_OWNER, GENERIC_ALL, GENERIC_WRITE] {
        for (who, sid) in
            [(EVERYONE, "S-1-1-0"), (USERS, "S-1-5-32-545"), (&[11], "S-1-5-11"), (BOB, "S-1-5-21-1-2-3-1002")]
        {
            let seen = judged(ALICE, &[(ALICE, GENERIC_ALL), (who, READ | right)], owners, CHANGES_FILE);
            assert_eq!(seen, Err(format!("writable by {sid}")), "{right:x}");
        }
    }
}

#[test]
fn somebody_elses_file_is_refused_whatever_its_list_says() {
    let owners = Owners::RootOr(account(ALICE));
    assert_eq!(judged(BOB, &[(BOB, READ)], owners, CHANGES_FILE), Err("owner S-1-5-21-1-2-3-1002".into()));
}

#[test]
fn no_list_at_all_is_refused() {
    let rights = Rights { owner: account(ADMINISTRATORS), allowed: None };
    assert!(matches!(judge_rights(&rights, Owners::Root, CHANGES_FILE), Err(Problem::Unlimited)));
}

#[test]
fn users_may_add_files_to_a_folder_on_the_way_and_replace_none() {
    // As %ProgramData% is.
    let adds = FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES;
    assert_eq!(judged(SYSTEM, &[(USERS, READ | adds)], Owners::Root, CHANGES_FOLDER), Ok(true));
    let seen = judged(SYSTEM, &[(USERS, READ | FILE_DELETE_CHILD)], Owners::Root, CHANGES_FOLDER);
    assert_eq!(seen, Err("writable by S-1-5-32-545".into()));
}

#[test]
fn nobody_else_may_add_files_to_a_librarys_own_folder() {
    let owners = Owners::RootOr(account(ALICE));
    for (who, sid) in [(USERS, "S-1-5-32-545"), (BOB, "S-1-5-21-1-2-3-1002")] {
        let entries = [(ALICE, GENERIC_ALL), (who, READ | FILE_ADD_FILE)];
        assert_eq!(judged(SYSTEM, &entries, owners, CHANGES_FOLDER), Ok(false));
        assert_eq!(judged(SYSTEM, &entries, owners, ADDS_TO_FOLDER), Err(format!("writable by {sid}")));
    }
    // As %ProgramFiles% is.
    assert_eq!(judged(SYSTEM, &[(USERS, READ), (SYSTEM, GENERIC_ALL)], owners, ADDS_TO_FOLDER), Ok(true));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hsm.dll");
    std::fs::write(&path, "library").unwrap();
    assert!(judge_library(&path, Owners::root_or_effective_user()).is_ok());
    assert!(judge_library(&folder.path().join("none.dll"), Owners::Root).is_err());
}

#[test]
fn the_path_to_a_library_has_backslashes_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("hsm")).unwrap();
    std::fs::write(folder.path().join(r"hsm\x.dll"), "library").unwrap();
    let named = folder.path().join("./hsm//x.dll").to_str().unwrap().replace('\\', "/");
    let loaded = judge_library(Path::new(&named), Owners::root_or_effective_user()).unwrap();
    let loaded = loaded.to_str().unwrap();
    assert!(loaded.ends_with(r"\hsm\x.dll") && !loaded.contains('/'), "{loaded}");
}

#[test]
fn paths_that_mean_something_else_elsewhere_are_refused() {
    let problem = |path: &str| walk(Path::new(path), Owners::Anyone).unwrap_err().problem;
    assert!(matches!(problem(r"signgate.toml"), Problem::Relative));
    assert!(matches!(problem(r"\signgate.toml"), Problem::Relative), "no drive");
    for path in [r"\\server\share\signgate.toml", r"\\.\pipe\signgate", r"C:\a.toml:stream"] {
        assert!(matches!(problem(path), Problem::Kind(_)), "{path}");
    }
    assert!(matches!(problem(r"C:\no such folder\signgate.toml"), Problem::Missing));
}

#[test]
fn a_file_of_this_account_is_read_and_a_folder_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, "text").unwrap();
    assert!(open_judged(&path, Owners::root_or_effective_user()).is_ok());
    assert!(matches!(open_judged(folder.path(), Owners::Anyone), Err(Problem::Kind("a folder"))));
}
