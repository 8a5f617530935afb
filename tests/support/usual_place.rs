//! Where distributions put other projects' PKCS#11 modules.

use std::{fs, path::PathBuf};

/// The module with this file name, if it is in one of the usual places.
pub fn usual_place(file: &str) -> Option<PathBuf> {
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let plain = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let folders = plain.into_iter().chain(multiarch);
    folders.flat_map(|folder| ["softhsm", "pkcs11"].map(|one| folder.join(one).join(file))).find(|path| path.is_file())
}
