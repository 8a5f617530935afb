//! Tests of what makes a policy or an approval believable: every rule broken alone, and other programs as judges of the
//! same inputs (OpenSSH, python-tuf, tough).

mod approvals;
mod approver;
mod bundle;
mod changed_repository;
mod oracle;
mod publisher;
mod python_tuf;
mod sshsig;
#[cfg(feature = "cli")]
mod tough;
