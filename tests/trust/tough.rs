//! Policy bundles against tough, the client of Rust: it believes what we publish, and of thousands of changed
//! repositories none is believed here that it refuses. Where only one side refuses, the reason is one of a short list.
//! tough reads folders: an archive is unpacked as `tar xf` would. `SIGNGATE_MUTATIONS` sets how many are tried.

use crate::{
    changed_repository::{apply, series},
    oracle::mutations,
    publisher::{Files, Plan, Publisher},
};
use jiff::Timestamp;
use signgate_pkcs11::trust::{TrustError, TrustedState};
use std::{fs, path::Path};
use tough::{FilesystemTransport, RepositoryLoader, TargetName};
use url::Url;

fn unpack(files: &Files, folder: &Path) {
    let version = |version: Option<u64>| version.map(|version| format!("{version}.")).unwrap_or_default();
    let metadata = folder.join("metadata");
    let targets = folder.join("targets");
    for path in [&metadata, &targets] {
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path).unwrap();
    }
    for (version, root) in &files.roots {
        fs::write(metadata.join(format!("{version}.root.json")), root).unwrap();
    }
    fs::write(metadata.join("timestamp.json"), &files.timestamp).unwrap();
    fs::write(metadata.join(format!("{}snapshot.json", version(files.snapshot.0))), &files.snapshot.1).unwrap();
    fs::write(metadata.join(format!("{}targets.json", version(files.targets.0))), &files.targets.1).unwrap();
    let prefix = files.policy.0.as_ref().map(|hash| format!("{hash}.")).unwrap_or_default();
    fs::write(targets.join(format!("{prefix}policy.json")), &files.policy.1).unwrap();
}

/// The version of the targets it believes, or why it does not.
async fn judge(files: &Files, folder: &Path) -> Result<u64, String> {
    unpack(files, folder);
    let url = |name: &str| Url::from_directory_path(folder.join(name)).unwrap();
    let loader = RepositoryLoader::new(&files.roots[0].1, url("metadata"), url("targets"));
    let repository = loader.transport(FilesystemTransport).load().await.map_err(|error| error.to_string())?;
    let name = TargetName::new("policy.json").unwrap();
    let saved = folder.join("saved");
    let _ = fs::remove_dir_all(&saved);
    fs::create_dir_all(&saved).unwrap();
    let save = repository.save_target(&name, &saved, tough::Prefix::None).await;
    save.map_err(|error| error.to_string())?;
    Ok(repository.targets().signed.version.get())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn what_we_publish_is_believed_by_tough() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new();
    let plan = Plan::at(Timestamp::from_second(Timestamp::now().as_second()).unwrap());
    for consistent in [false, true] {
        let plan = Plan { consistent, ..plan.clone() };
        let mut files = publisher.publish(&plan);
        assert_eq!(runtime().block_on(judge(&files, folder.path())), Ok(5));
        files.roots.push((2, publisher.root(2, &plan)));
        assert_eq!(runtime().block_on(judge(&files, folder.path())), Ok(5));
    }
}

#[test]
fn no_changed_repository_is_believed_that_tough_refuses() {
    let count = mutations();
    let publisher = Publisher::new();
    let plan = Plan::at(Timestamp::from_second(Timestamp::now().as_second()).unwrap());
    let good = publisher.publish(&plan);
    let folder = tempfile::tempdir().unwrap();
    let (mut believed, mut stricter) = (0, 0);
    let runtime = runtime();
    for change in series(count, 2) {
        let files = apply(&change, &good, &publisher, &plan);
        let ours = files.outcome_on(&TrustedState::default(), plan.now);
        let theirs = runtime.block_on(judge(&files, folder.path()));
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => believed += 1,
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) if is_known_strictness(error, &files) => stricter += 1,
            _ => panic!("{change:?}: here {ours:?}, tough says {theirs:?}"),
        }
    }
    println!("{count} changed repositories: both believe {believed}, only tough {stricter}, both refuse the rest");
    assert!(believed > 0, "some changes are none");
}

/// What tough takes and we do not.
fn is_known_strictness(error: &TrustError, files: &Files) -> bool {
    let says = |file: &[u8], role: &str| String::from_utf8_lossy(file).contains(&format!("\"_type\": \"{role}\""));
    match error {
        // Any `spec_version`, any `_type`, a member that it does not know, roles of keys that are not there, and ids of
        // keys of any length.
        TrustError::Malformed { error, .. } => {
            let known = [
                "/signed/x-signgate-issued",
                "/signed/spec_version",
                "/signed/_type",
                "/signed/roles/",
                "/signatures/",
            ];
            known.iter().any(|start| error.pointer.starts_with(start))
        }
        // It verifies what it understood, written anew, so a `_type` that it does not read makes no difference.
        TrustError::Unsigned { .. } | TrustError::UnderThreshold { .. } => {
            !(says(&files.roots[0].1, "root")
                && says(&files.timestamp, "timestamp")
                && says(&files.snapshot.1, "snapshot")
                && says(&files.targets.1, "targets"))
        }
        // A length is the most that it reads, not what the file must have.
        TrustError::Mixed { what, .. } => what.contains("another length"),
        // It never asks when a timestamp was made.
        TrustError::Clock { .. } => true,
        _ => false,
    }
}
