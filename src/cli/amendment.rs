//! One change that a command makes to the policy and publishes alone: a revocation, a key pair's status, a service token.
//!
//! What an author has in the making is never published with it. Read next: `admin.rs`, which signs and writes.

use super::{
    admin::{Admin, POLICY, at, refused, write},
    publish,
    ui::{Exit, Failure},
};
use signgate_pkcs11::trust::publication::Publication;
use std::{fs, path::PathBuf};

/// The published policy, which is also the source in the folder.
pub struct Amendment {
    pub admin: Admin,
    /// The policy as it is.
    pub source: Vec<u8>,
    file: PathBuf,
    publication: Publication,
}

impl Amendment {
    /// Begins one, called so in an error.
    ///
    /// # Errors
    /// A publication waits for signatures, or the source has changes that are not published.
    pub fn begin(place: &publish::Place, called: &str) -> Result<Amendment, Failure> {
        let admin = Admin::open(&place.admin)?;
        admin.no_draft()?;
        let file = admin.path(POLICY);
        let source = fs::read(&file).map_err(|error| at(&file, &error))?;
        let publication = admin.publication()?;
        if publication.policy() != source {
            return Err(Failure::new(format!("`{}` has changes that are not published", file.display()))
                .next(format!("publish or undo them first, so that this publishes the {called} alone")));
        }
        Ok(Amendment { admin, source, file, publication })
    }

    /// Writes the changed policy into the source, and publishes it.
    pub fn publish(mut self, place: &publish::Place, new: Vec<u8>) -> Result<Exit, Failure> {
        let admin = &self.admin;
        write(&self.file, &new)?;
        let set = self.publication.set_policy(new, admin.now, &admin.lives);
        set.map_err(|error| refused(&self.file, &error))?;
        admin.finish(self.publication, &admin.keys(&place.keys)?, place.out.as_deref())
    }
}
