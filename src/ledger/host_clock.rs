//! Two facts that let a reader put records in order when the wall clock was changed: which start of the host a record
//! belongs to, and the host's monotonic clock. Neither is an input of a decision, but that an ID token is bound to one
//! start of the host.
//! Read next: `draft.rs`.

use crate::platform;
use once_cell::sync::OnceCell;

pub(crate) use platform::monotonic_us;

/// Which start of the host this is. Asked once in the life of the process.
pub(crate) fn boot_id() -> Option<&'static str> {
    static BOOT: OnceCell<Option<String>> = OnceCell::new();
    BOOT.get_or_init(platform::boot_id).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic_us().unwrap();
        assert!(monotonic_us().unwrap() >= first);
    }

    #[test]
    fn the_boot_id_stays_the_same() {
        assert_eq!(boot_id(), boot_id());
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
