//! Files that must be believed, and every kind that must not.

use super::*;
use nix::{
    sys::stat::Mode,
    unistd::{self, mkfifo},
};
use std::{
    fs::{self, File},
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    time::Duration,
};
use tempfile::TempDir;

const CAP: u64 = 100;

/// A folder of our own, by its path without links.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    set_mode(path, 0o644);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn read(path: &Path) -> Result<(Vec<u8>, FileStamp), FileError> {
    read_trusted(path, CAP, Owners::root_or_effective_user())
}

fn refused(path: &Path) -> FileError {
    read(path).expect_err(&format!("{} was read", path.display()))
}

/// Owners that do not include whoever owns the files these tests make.
fn others(path: &Path) -> Owners {
    if unistd::geteuid().is_root() {
        chown(path, Some(54321), None).unwrap();
    }
    Owners::Root
}

#[test]
fn a_private_file_is_read_whole() {
    let (_keep, folder) = folder();
    let file = folder.join("policy");
    write(&file, &[7; 100]);
    let (bytes, first) = read(&file).unwrap();
    assert_eq!(bytes, [7; 100]);
    assert_eq!(first, stamp(&file).unwrap());
    assert_eq!(first.size, 100);
}

#[test]
fn the_stamp_changes_with_a_rename_over_the_file() {
    let (_keep, folder) = folder();
    let (old, new) = (folder.join("policy"), folder.join("new"));
    write(&old, b"same");
    let before = stamp(&old).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    write(&new, b"same");
    fs::rename(&new, &old).unwrap();
    assert_ne!(stamp(&old).unwrap(), before);
}

#[test]
fn a_file_can_be_checked_without_being_read() {
    let (_keep, folder) = folder();
    let file = folder.join("module.so");
    write(&file, &[7; 101]);
    assert_eq!(check_trusted(&file, Owners::root_or_effective_user()).unwrap(), stamp(&file).unwrap());
    set_mode(&file, 0o666);
    let error = check_trusted(&file, Owners::root_or_effective_user()).unwrap_err();
    assert!(matches!(error.problem, Problem::Writable { mode: 0o666 }));
    assert!(check_trusted(&folder, Owners::root_or_effective_user()).is_err(), "a folder");
}

#[test]
fn one_byte_over_the_cap_is_too_large() {
    let (_keep, folder) = folder();
    let file = folder.join("policy");
    write(&file, &[7; 101]);
    assert!(matches!(refused(&file).problem, Problem::TooLarge { cap: CAP }));
}

#[test]
fn a_sparse_giant_is_refused_before_it_is_read() {
    let (_keep, folder) = folder();
    let file = folder.join("policy");
    write(&file, b"");
    File::options().write(true).open(&file).unwrap().set_len(10 << 30).unwrap();
    assert!(matches!(refused(&file).problem, Problem::TooLarge { .. }));
}

#[test]
fn a_file_that_others_may_write_is_refused_with_the_command_that_mends_it() {
    let (_keep, folder) = folder();
    let file = folder.join("policy");
    write(&file, b"x");
    for mode in [0o664, 0o646, 0o666] {
        set_mode(&file, mode);
        let error = refused(&file);
        assert!(matches!(error.problem, Problem::Writable { .. }), "{mode:o}: {error}");
        assert_eq!(error.fix(), Some(format!("chmod go-w {}", file.display())));
    }
    set_mode(&file, 0o644);
    read(&file).unwrap();
}

#[test]
fn a_folder_on_the_way_that_others_may_write_is_refused() {
    let (_keep, folder) = folder();
    let (middle, file) = (folder.join("middle"), folder.join("middle/inner/policy"));
    fs::create_dir_all(folder.join("middle/inner")).unwrap();
    write(&file, b"x");
    set_mode(&middle, 0o775);
    let error = refused(&file);
    assert_eq!(error.path, middle);
    assert!(matches!(error.problem, Problem::Writable { mode: 0o775 }));
    set_mode(&middle, 0o755);
    read(&file).unwrap();
}

#[test]
fn a_sticky_folder_counts_only_when_it_is_roots() {
    let (_keep, folder) = folder();
    let file = folder.join("shared/policy");
    let shared = folder.join("shared");
    fs::create_dir(&shared).unwrap();
    write(&file, b"x");
    set_mode(&shared, 0o1777);
    let owners = others(&shared);
    if unistd::geteuid().is_root() {
        assert_eq!(read_trusted(&file, CAP, owners).unwrap_err().path, shared);
        chown(&shared, Some(0), None).unwrap();
        read(&file).unwrap();
    } else {
        assert_eq!(refused(&file).path, shared);
    }
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let (_keep, folder) = folder();
    let file = folder.join("policy");
    write(&file, b"x");
    let owners = others(&file);
    let error = read_trusted(&file, CAP, owners).unwrap_err();
    assert!(matches!(error.problem, Problem::Owner { .. }), "{error}");
    assert!(error.fix().unwrap().starts_with("chown root "));
    assert_eq!(read_trusted(&file, CAP, Owners::Anyone).unwrap().0, b"x");
}

#[test]
fn a_file_is_all_roots_only_if_no_part_of_its_path_is_anybody_elses() {
    let (_keep, folder) = folder();
    let file = folder.join("policy");
    write(&file, b"x");
    let root = unistd::geteuid().is_root();
    let owners = Owners::root_or_effective_user();
    assert_eq!(read_with_owners(&file, CAP, owners).unwrap().all_root, root);
    if root {
        chown(&folder, Some(54321), None).unwrap();
        assert!(!read_with_owners(&file, CAP, Owners::RootOr(54321)).unwrap().all_root);
    }
}

#[test]
fn only_regular_files_are_opened() {
    let (_keep, folder) = folder();
    let (fifo, socket) = (folder.join("fifo"), folder.join("socket"));
    mkfifo(&fifo, Mode::S_IRUSR).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    for (path, kind) in
        [(fifo.as_path(), "a FIFO"), (&socket, "a socket"), (&folder, "a folder"), (Path::new("/dev/zero"), "a device")]
    {
        let problem = refused(path).problem;
        assert!(matches!(problem, Problem::Kind(found) if found == kind), "{}: {problem:?}", path.display());
    }
}

#[test]
fn a_link_is_followed_when_its_target_passes_the_same_checks() {
    let (_keep, folder) = folder();
    fs::create_dir_all(folder.join("real/deep")).unwrap();
    let file = folder.join("real/deep/policy");
    write(&file, b"x");
    symlink("deep/policy", folder.join("real/relative")).unwrap();
    symlink(&file, folder.join("absolute")).unwrap();
    symlink("real/deep/../deep", folder.join("by-folder")).unwrap();
    for link in ["real/relative", "absolute", "by-folder/policy"] {
        assert_eq!(read(&folder.join(link)).unwrap().0, b"x", "{link}");
    }
    set_mode(&folder.join("real/deep"), 0o777);
    for link in ["real/relative", "absolute", "by-folder/policy"] {
        assert_eq!(refused(&folder.join(link)).path, folder.join("real/deep"), "{link}");
    }
}

#[test]
fn a_link_in_a_folder_that_others_may_write_is_refused_though_its_target_is_fine() {
    let (_keep, folder) = folder();
    let (file, open) = (folder.join("policy"), folder.join("open"));
    write(&file, b"x");
    fs::create_dir(&open).unwrap();
    symlink(&file, open.join("link")).unwrap();
    set_mode(&open, 0o777);
    assert_eq!(refused(&open.join("link")).path, open);
}

#[test]
fn a_ring_of_links_ends() {
    let (_keep, folder) = folder();
    symlink(folder.join("b"), folder.join("a")).unwrap();
    symlink(folder.join("a"), folder.join("b")).unwrap();
    assert!(matches!(refused(&folder.join("a")).problem, Problem::Links));
}

#[test]
fn absent_files_are_told_from_unreadable_ones() {
    let (_keep, folder) = folder();
    assert!(refused(&folder.join("none")).is_missing());
    assert!(refused(&folder.join("none/policy")).is_missing());
    assert!(stamp(&folder.join("none")).unwrap_err().is_missing());
    write(&folder.join("file"), b"x");
    assert!(!refused(&folder.join("file/policy")).is_missing());
}

#[test]
fn a_path_that_depends_on_the_working_folder_is_refused() {
    assert!(matches!(refused(Path::new("Cargo.toml")).problem, Problem::Relative));
}

#[test]
fn the_mending_command_is_one_shell_word_per_path() {
    assert_eq!(shell_word(Path::new("/etc/signgate/a.toml")), "/etc/signgate/a.toml");
    assert_eq!(shell_word(Path::new("/tmp/a b;'c")), r"'/tmp/a b;'\''c'");
}
