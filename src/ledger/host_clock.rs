//! Two facts that let a reader put records in order when the wall clock was changed: which start of the host a record
//! belongs to, and the host's monotonic clock. Neither is an input of a decision, but that an ID token is bound to one
//! start of the host.
//! Read next: `draft.rs`.

use once_cell::sync::OnceCell;

/// The Linux boot id; none elsewhere. Read once in the life of the process.
pub(crate) fn boot_id() -> Option<&'static str> {
    static BOOT: OnceCell<Option<String>> = OnceCell::new();
    BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let text = text.trim();
        let is_id = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        is_id.then(|| text.to_owned())
    })
    .as_deref()
}

/// Microseconds of CLOCK_MONOTONIC; none where there is no such clock.
pub(crate) fn monotonic_us() -> Option<u64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let microseconds = u64::try_from(time.tv_nsec()).ok()?.checked_div(1000)?;
    seconds.checked_mul(1_000_000)?.checked_add(microseconds)
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
