//! Windows, behind the same functions as on Unix. What only Windows tells is asked through `system.rs`: its own calls
//! need `unsafe`, which has no place here (ADR 0018). Read next: `account.rs`, then `access.rs`.

mod access;
mod account;
mod advice;
mod file;
mod process;
mod system;

pub use super::Closed;
pub use access::{Entry, Rights, exposure, rights};
pub use account::{Account, account_name, account_number, administers, effective_account};
pub use advice::{
    how_to_close, how_to_let_in, how_to_let_write, how_to_make, may_write, owner_of, readable_by_all, replace_in_kind,
    shared_modes, shown_mode, try_folder, writable_by_all,
};
pub use file::{
    Locked, allocate, canonical, create_file, create_folder, create_inner_folder, create_new, create_private_folder,
    free_bytes, hold_folder, identity, identity_of, is_link, is_own, is_reparse_point, lock_holder, look_at, not_local,
    open, open_or_create, open_to_read, place, replace, set_mode, stamp, stamp_of, sync_folder, write_at,
};
pub use process::{boot_id, host_name, machine_folder, monotonic_us};
pub(crate) use system::{Accounts, Files, Host, Security, SecurityInfo, System};

use std::os::windows::io::BorrowedHandle;

/// The gate's end of a connection; there is none on Windows.
pub type Connection<'a> = BorrowedHandle<'a>;

/// Windows starts no program with more rights than the one whose environment it gets: an elevated one gets its user's.
#[must_use]
pub fn runs_with_borrowed_rights() -> bool {
    false
}

/// Whether an account administers the machine, as root does on Unix.
#[must_use]
pub fn is_root(account: &Account) -> bool {
    account.is_administrator()
}

/// An account as people read it: by its name, or by its SID where it has none.
#[must_use]
pub fn named(account: &Account) -> String {
    match account_name(account) {
        // Everyone has no domain.
        Some(name) => format!("`{}` ({account})", name.trim_start_matches('\\')),
        None => account.to_string(),
    }
}
