//! Requests and grants with their approvals. A file that is read is written and read back the same, and its statement has
//! one spelling and so one id. Each approval in it is then signed anew by a key of the target's: now it verifies, as that
//! key's and as what it says; and with one word of it changed it does not.

use super::{pen, text::one_line};
use signgate_pkcs11::{
    policy::Statement,
    trust::approval::{GrantFile, NAMESPACE, approval_text},
};

/// The key that signs.
const APPROVER: u8 = 7;
/// Each signature costs a verification.
const MOST: usize = 4;

pub fn run(data: &[u8]) -> bool {
    let file = match GrantFile::read(data) {
        Ok(file) => file,
        Err(error) => {
            one_line(&error.to_string());
            return false;
        }
    };
    assert_eq!(GrantFile::read(&file.write()).as_ref(), Ok(&file));
    let canonical = file.statement.canonical();
    let again: Statement = serde_json::from_slice(&canonical).expect("the canonical form");
    assert_eq!((again.id(), again.canonical()), (file.statement.id(), canonical));
    let stated: serde_json::Value = serde_json::from_slice(data).expect("what was read is JSON");
    assert_eq!(stated["statement"]["signings"].as_u64(), Some(file.statement.signings));
    assert_eq!(stated["statement"]["signer"].as_str(), Some(file.statement.signer.as_str()));
    match file.verify() {
        Ok(grant) => assert_eq!(*grant.statement, file.statement),
        Err(error) => one_line(&error.to_string()),
    }
    signed_anew(file);
    true
}

fn signed_anew(mut file: GrantFile) {
    file.approvals.truncate(MOST);
    let id = file.statement.id();
    for approval in &mut file.approvals {
        let text = approval_text(&id, approval.step, &approval.approver, approval.approved_at, &approval.previous);
        approval.signature = pen::approve(APPROVER, NAMESPACE, &text);
    }
    let verified = file.verified_approvals().expect("signatures over exactly these words");
    let fingerprint = pen::approver_fingerprint(APPROVER);
    for (approval, signed) in verified.iter().zip(&file.approvals) {
        assert_eq!(approval.key_fingerprint, fingerprint);
        assert_eq!((approval.step, &approval.approver), (signed.step, &signed.approver));
        assert_eq!((approval.approved_at, approval.previous), (signed.approved_at, signed.previous));
    }
    if file.approvals.is_empty() {
        return;
    }
    let changed = |change: fn(&mut GrantFile)| {
        let mut copy = file.clone();
        change(&mut copy);
        copy.verified_approvals().is_err()
    };
    assert!(changed(|file| file.approvals[0].approver.push('x')));
    assert!(changed(|file| file.approvals[0].step ^= 1));
    assert!(changed(|file| file.approvals[0].previous[31] ^= 1));
    assert!(changed(|file| file.statement.signings ^= 1), "approvals of one request count for another");
    assert!(changed(|file| file.statement.grantee.push('x')));
}
