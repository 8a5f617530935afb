//! This process and this host: names, folders and clocks. Read next: `../mod.rs`.

use crate::SYSTEM;
use std::path::PathBuf;

/// This host's own name for itself.
#[must_use]
pub fn host_name() -> Option<String> {
    SYSTEM.host_name()
}

/// Where the machine's administrator configures the gate: below ProgramData, wherever that is. The system is asked, not
/// the environment, which the caller may have written.
#[must_use]
pub fn machine_folder() -> PathBuf {
    SYSTEM.program_data().unwrap_or_else(|| PathBuf::from(r"C:\ProgramData")).join("signgate")
}

/// Which start of the host this is: the time of it, in the form of Linux's boot id. Windows moves that time when its
/// clock is set; then what was bound to this start must be shown again.
#[must_use]
pub fn boot_id() -> Option<String> {
    let start = SYSTEM.start().filter(|start| *start != 0)?;
    // What differs between two starts comes first: the beginning names journals.
    let text = format!("{:016x}", start.swap_bytes());
    let (first, second) = text.split_at_checked(8)?;
    let (second, third) = second.split_at_checked(4)?;
    Some(format!("{first}-{second}-{third}-0000-000000000000"))
}

/// Microseconds of the performance counter, which every process of this host shares.
#[must_use]
pub fn monotonic_us() -> Option<u64> {
    let (count, per_second) = SYSTEM.performance_counter()?;
    u64::try_from(u128::from(count).checked_mul(1_000_000)?.checked_div(per_second.into())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_folder_lies_below_program_data() {
        let folder = machine_folder();
        assert!(folder.is_absolute() && folder.ends_with(r"ProgramData\signgate"), "{}", folder.display());
    }

    #[test]
    fn the_time_goes_on_and_the_start_stays() {
        let (time, start) = (monotonic_us(), boot_id());
        assert!(start.is_some() && time.is_some());
        assert!(monotonic_us() >= time && boot_id() == start);
    }
}
