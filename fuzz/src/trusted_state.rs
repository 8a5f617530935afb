//! The memory of what a host has seen. What is read is written and read back the same: a state that loses something on
//! the way through the disk is a rollback.

use super::text::one_line;
use signgate_pkcs11::trust::TrustedState;

pub fn run(data: &[u8]) -> bool {
    match TrustedState::from_bytes(data) {
        Ok(state) => {
            assert_eq!(TrustedState::from_bytes(&state.to_bytes()), Ok(state));
            true
        }
        Err(error) => {
            one_line(&error.to_string());
            false
        }
    }
}
