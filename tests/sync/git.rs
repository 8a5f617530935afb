//! A git checkout as a source: policies come by pull, requests go by push, also when another machine is faster.

use crate::{
    exchange::{policy, statement},
    machine::{Machine, entries},
    publication::Publisher,
};
use signgate_pkcs11::{policy_cache::request_files, trust::approval::GrantFile};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A bare repository with one branch.
struct Remote {
    _keep: TempDir,
    folder: PathBuf,
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@localhost",
        "-c",
        "init.defaultBranch=main",
    ]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Remote {
    fn new() -> Remote {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().canonicalize().unwrap();
        git(&folder, &["init", "--quiet", "--bare", "remote.git"]);
        git(&folder, &["clone", "--quiet", "remote.git", "publisher"]);
        Remote { _keep: keep, folder }
    }

    fn publish(&self, name: &str, bytes: &[u8]) {
        let checkout = self.folder.join("publisher");
        fs::write(checkout.join(name), bytes).unwrap();
        git(&checkout, &["add", "--all"]);
        git(&checkout, &["commit", "--quiet", "-m", "publish"]);
        git(&checkout, &["push", "--quiet", "origin", "HEAD"]);
    }

    /// A machine with a checkout.
    fn machine(&self, publisher: &Publisher) -> Machine {
        let machine = Machine::new(publisher, "source = \"checkout\"\ngit = true\ntimeout = \"30s\"");
        git(&machine.folder, &["clone", "--quiet", self.folder.join("remote.git").to_str().unwrap(), "checkout"]);
        machine
    }

    fn files(&self) -> String {
        git(&self.folder.join("remote.git"), &["ls-tree", "-r", "--name-only", "HEAD"])
    }
}

fn published() -> (Publisher, Remote, Vec<u8>) {
    let (publisher, remote) = (Publisher::new(), Remote::new());
    let bundle = publisher.publish(1, 48, &policy()).bundle();
    remote.publish("policy.bundle", &bundle);
    (publisher, remote, bundle)
}

#[test]
fn a_policy_comes_by_pull_and_a_request_goes_by_push() {
    let (publisher, remote, first) = published();
    let machine = remote.machine(&publisher);
    machine.takes(&first, "policy version 1, new here");
    let second = publisher.publish(2, 48, &policy()).bundle();
    remote.publish("policy.bundle", &second);
    let request = GrantFile::new(statement(&publisher, "one"));
    request_files::save(&machine.path("requests"), &request).unwrap();
    machine.takes(&second, "policy version 2, new here");
    let name = format!("requests/{}.json", request.statement.id().short_id());
    assert_eq!(remote.files(), format!("policy.bundle\n{name}\n"));
    machine.takes(&second, "policy version 2, unchanged");
}

#[test]
fn a_request_that_another_machine_forestalled_is_pushed_after_it() {
    let (publisher, remote, bundle) = published();
    let machine = remote.machine(&publisher);
    machine.takes(&bundle, "policy version 1, new here");
    // Before the first push of this machine, another one pushes: a hook of the checkout does it.
    let hook = machine.path("checkout/.git/hooks/pre-push");
    let other = remote.folder.join("publisher");
    let script = format!(
        "#!/bin/sh\nrm \"$0\"\nunset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE\ncd {} && echo x > other && git add other && \
         git -c user.name=t -c user.email=t@localhost commit -qm other && git push -q origin HEAD\n",
        other.display()
    );
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    request_files::save(&machine.path("requests"), &GrantFile::new(statement(&publisher, "one"))).unwrap();
    machine.takes(&bundle, "policy version 1, unchanged");
    assert!(!hook.exists(), "nobody was faster: the test shows nothing");
    let files = remote.files();
    assert!(files.contains("other") && files.contains("requests/rq-"), "{files}");
    assert_eq!(git(&machine.path("checkout"), &["status", "--porcelain"]), "");
}

#[test]
fn a_remote_that_is_away_is_told_and_the_last_good_policy_stays() {
    let (publisher, remote, bundle) = published();
    let machine = remote.machine(&publisher);
    machine.takes(&bundle, "policy version 1, new here");
    fs::rename(remote.folder.join("remote.git"), remote.folder.join("away.git")).unwrap();
    machine.stays(1, "/checkout: git pull: '");
    fs::remove_dir_all(machine.path("checkout/.git")).unwrap();
    machine.stays(1, "/checkout: git pull: not a git repository");
}

#[test]
fn a_checkout_that_went_its_own_way_is_not_merged() {
    let (publisher, remote, bundle) = published();
    let machine = remote.machine(&publisher);
    machine.takes(&bundle, "policy version 1, new here");
    remote.publish("policy.bundle", &publisher.publish(2, 48, &policy()).bundle());
    fs::write(machine.path("checkout/own"), "x").unwrap();
    git(&machine.path("checkout"), &["add", "own"]);
    git(&machine.path("checkout"), &["commit", "--quiet", "-m", "own"]);
    machine.stays(1, "/checkout: git pull: Not possible to fast-forward, aborting;");
}

#[test]
fn a_git_that_hangs_is_ended_with_the_time() {
    let (publisher, remote, bundle) = published();
    let machine = remote.machine(&publisher);
    machine.takes(&bundle, "policy version 1, new here");
    machine.configure(&publisher, "source = \"checkout\"\ngit = true\ntimeout = \"2s\"");
    // A remote helper that never answers.
    let helper = machine.path("sleeper");
    fs::write(&helper, "#!/bin/sh\nexec sleep 20\n").unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let checkout = machine.path("checkout");
    git(&checkout, &["remote", "set-url", "origin", &format!("ext::{}", helper.display())]);
    git(&checkout, &["config", "protocol.ext.allow", "always"]);
    let started = Instant::now();
    machine.stays(1, "not done within 2 seconds");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(entries(&machine.path("grants")), [""; 0]);
}
