//! Which token of the HSM is meant, and where its PIN comes from. The PIN is read when it is needed and wiped after;
//! it is never kept, shown or logged, and a PIN that the HSM refused is never tried again in this process.
//! Read next: `pool.rs`, which logs in with it.

use super::code::{Trouble, trouble};
use crate::{
    config::{Environment, PinSource, TokenConfig},
    identity,
};
use cryptoki_sys as ck;
use parking_lot::Mutex;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// Reads the PIN; the copy is wiped when it is dropped.
pub(super) fn read_pin(source: &PinSource) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let pin = identity::hsm_pin(source, &Environment::from_process())
        .map_err(|error| trouble(ck::CKR_DEVICE_ERROR, format!("the HSM's {error}")))?;
    Ok(Zeroizing::new(pin.expose().to_vec()))
}

/// Tokens whose PIN the HSM refused. Process-wide, so that neither another C_Initialize nor another thread tries
/// it again: a few more attempts would lock the HSM for everybody.
static REFUSED: Mutex<Vec<(PathBuf, TokenConfig)>> = Mutex::new(Vec::new());

/// The list is locked for moments only; longer means that a fork copied it locked.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// Whether the PIN was refused before. Where that can not be known it counts as refused.
pub(super) fn is_refused(module: &Path, access: &TokenConfig) -> bool {
    match REFUSED.try_lock_for(REFUSED_WAIT) {
        Some(list) => list.iter().any(|(path, refused)| path == module && refused == access),
        None => true,
    }
}

pub(super) fn remember_refused(module: &Path, access: &TokenConfig) {
    if let Some(mut list) = REFUSED.try_lock_for(REFUSED_WAIT) {
        list.push((module.to_path_buf(), access.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenSelector;

    #[test]
    fn a_missing_pin_says_where_it_was_sought() {
        let error = read_pin(&PinSource::Env("SIGNGATE_TEST_NO_SUCH_PIN".to_owned())).unwrap_err();
        assert!(error.error.message.contains("`SIGNGATE_TEST_NO_SUCH_PIN`"), "{}", error.error.message);
        assert!(!error.error.asked);
    }

    #[test]
    fn a_refused_pin_is_remembered_for_that_token_only() {
        let access = |label: &str| TokenConfig {
            select: TokenSelector::Label(label.to_owned()),
            pin: PinSource::Env("PIN".to_owned()),
        };
        let module = Path::new("/a/module.so");
        remember_refused(module, &access("refused"));
        assert!(is_refused(module, &access("refused")));
        assert!(!is_refused(module, &access("other")));
        assert!(!is_refused(Path::new("/another/module.so"), &access("refused")));
    }
}
