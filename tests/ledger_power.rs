//! A power cut: everything that was not synced is gone. A library in front of the C library keeps, beside each file of
//! the ledger, the bytes that the last sync of that file made durable; after the cut only those are left. Every
//! signature that was released before the cut must still be counted after it.

mod ledger_sample;

use ledger_sample::{grant, intent, noon, settings, skip, uses};
use signgate_pkcs11::{
    audit::{
        log::{Log, Query},
        verify::{Against, verify},
    },
    config::Durability,
    ledger::{Kind, Ledger, Outcome, Settings, SqliteLedger, create},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Copies a file of the folder FOLDER to DURABLE whenever it is synced. A link or a rename is durable at once, which
/// does not matter for the ledger, made before the library is loaded; a folder is durable when it was synced itself, so
/// that of the journals counts only if whoever begins one does so.
const INTERPOSER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int keep(int fd) {
    char link[64], path[PATH_MAX], to[PATH_MAX], new_name[PATH_MAX];
    const char *folder = getenv("FOLDER"), *durable = getenv("DURABLE");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || !folder || !durable) return 0;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder)) != 0) return 0;
    snprintf(to, sizeof to, "%s%s", durable, path + strlen(folder));
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        (void) mkdir(to, 0700);
        return 0;
    }
    snprintf(new_name, sizeof new_name, "%s.new", to);
    int out = open(new_name, O_CREAT | O_TRUNC | O_WRONLY, 0660);
    if (out < 0) return -1;
    static char buffer[65536];
    off_t at = 0;
    ssize_t count;
    while ((count = pread(fd, buffer, sizeof buffer, at)) > 0) {
        if (write(out, buffer, count) != count) return -1;
        at += count;
    }
    close(out);
    return rename(new_name, to);
}

int fdatasync(int fd) { return keep(fd); }
int fsync(int fd) { return keep(fd); }
"#;

const SIGNINGS: u64 = 100_000;

fn build(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("power.c"), folder.join("power.so"));
    fs::write(&source, INTERPOSER).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    built.is_ok_and(|status| status.success()).then_some(library)
}

/// Signs until the power goes; how many signatures were released, and how many are counted on what the disk kept.
fn cut(library: &Path, settings: &Settings, signs: &str, released_before_the_cut: usize) -> (u64, u64) {
    let durable = settings.folder.with_file_name("durable");
    fs::create_dir(&durable).unwrap();
    for name in ["ledger.db", "ledger.db-wal"] {
        fs::copy(settings.folder.join(name), durable.join(name)).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_that_loses_power", "--exact", "--nocapture", "--test-threads=1"])
        .env("LD_PRELOAD", library)
        .env("FOLDER", &settings.folder)
        .env("DURABLE", &durable)
        .env(ledger_sample::ARGUMENTS, format!("{}\n{:?}\n{signs}", settings.folder.display(), settings.durability))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_release = |line: &String| line.ends_with("released");
    let mut released = 0;
    while released < released_before_the_cut {
        released += usize::from(is_release(&lines.next().unwrap().unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died.
    released += lines.map_while(Result::ok).filter(is_release).count();
    let after = Settings { folder: durable, ..settings.clone() };
    fs::set_permissions(&after.folder, PermissionsExt::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(&after.folder).unwrap().map(Result::unwrap) {
        let mode = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o660 };
        fs::set_permissions(entry.path(), PermissionsExt::from_mode(mode)).unwrap();
    }
    let log = Log::open(&after).unwrap();
    assert_eq!((log.unfolded(), verify(&log, &Against::default()).unwrap().problems), (None, vec![]));
    let used = match signs {
        "counted" => SqliteLedger::new(after.clone()).used(&grant(1)).unwrap(),
        _ => {
            let entries = log.list(&Query::default()).unwrap();
            entries.iter().filter(|entry| entry.record.kind == Kind::Intent).count().try_into().unwrap()
        }
    };
    (u64::try_from(released).unwrap(), used)
}

#[test]
fn what_was_released_before_a_power_cut_is_counted_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = build(folder.path()) else {
        return skip("cc", "no C compiler for the library that drops unsynced bytes");
    };
    // Around the places where the WAL begins anew, too.
    for released in (0..24).map(|round| 1 + round * 13) {
        let settings = settings(&folder.path().join(format!("full-{released}")));
        create(&settings, noon()).unwrap();
        // What nothing counts goes to a journal from the fifth signature on.
        let signs = if released % 2 == 0 { "counted" } else { "uncounted" };
        let (released, used) = cut(&library, &settings, signs, released);
        assert!(released <= used && used <= released + 1, "{released} released, {used} counted");
    }
}

#[test]
fn without_waiting_for_the_disk_a_power_cut_loses_counts() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = build(folder.path()) else {
        return skip("cc", "no C compiler for the library that drops unsynced bytes");
    };
    for signs in ["counted", "uncounted"] {
        let settings = Settings { durability: Durability::Normal, ..settings(&folder.path().join(signs)) };
        create(&settings, noon()).unwrap();
        let (released, used) = cut(&library, &settings, signs, 8);
        assert!(used < released, "{released} released, {used} {signs}: the simulation drops nothing");
    }
}

#[test]
fn a_process_that_loses_power() {
    let Some(arguments) = ledger_sample::Child::arguments() else { return };
    let durability = if arguments[1] == "Normal" { Durability::Normal } else { Durability::Full };
    let ledger = SqliteLedger::new(Settings { durability, ..settings(arguments[0].as_ref()) });
    loop {
        let counts = (arguments[2] == "counted").then(|| uses(1, SIGNINGS));
        let reservation = ledger.reserve(&intent(noon(), counts)).unwrap();
        let outcome = Outcome::Released { signature: b"signature", latency: Duration::ZERO };
        ledger.settle(reservation, &outcome).unwrap();
        ledger_sample::Child::answer("released");
    }
}
