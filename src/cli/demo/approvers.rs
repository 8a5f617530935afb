//! The approvers' SSH keys: Ed25519, in OpenSSH's own format, without a passphrase because this is a demo.

use super::{
    cast::APPROVERS,
    failure::Failure,
    folder::{Folder, Readers},
    secrets,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData},
    public::Ed25519PublicKey,
};

/// The line of each approver's `.pub` file, in the order of [`APPROVERS`].
pub fn prepare(folder: &Folder) -> Result<Vec<String>, Failure> {
    APPROVERS.into_iter().map(|name| keep_or_make(folder, name)).collect()
}

fn keep_or_make(folder: &Folder, name: &str) -> Result<String, Failure> {
    let file = format!("approvers/{name}");
    let text = folder.keep_or_make(&file, |text| PrivateKey::from_openssh(text).is_ok(), || make(name))?;
    let key = PrivateKey::from_openssh(&text).map_err(ssh)?;
    let line = key.public_key().to_openssh().map_err(ssh)?;
    folder.write(&format!("{file}.pub"), format!("{line}\n").as_bytes(), Readers::All)?;
    Ok(line)
}

fn make(name: &str) -> Result<String, Failure> {
    let seed = secrets::random::<32>()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| Failure::new("cannot make an SSH key"))?;
    let public: [u8; 32] =
        pair.public_key().as_ref().try_into().map_err(|_| Failure::new("an Ed25519 key that is not 32 bytes long"))?;
    let pair = Ed25519Keypair { public: Ed25519PublicKey(public), private: Ed25519PrivateKey::from_bytes(&seed) };
    let key = PrivateKey::new(KeypairData::Ed25519(pair), name).map_err(ssh)?;
    Ok(key.to_openssh(LineEnding::LF).map_err(ssh)?.trim_end().to_owned())
}

fn ssh(error: ssh_key::Error) -> Failure {
    Failure::new(format!("cannot make an SSH key: {error}"))
}
