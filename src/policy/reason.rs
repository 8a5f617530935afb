//! Every reason for which a signature is refused: a stable code for people and logs, a stable number for programs.
//! Codes and numbers never change their meaning and are never used again. Numbers are the check times 100, and more.
//! Read next: `decision.rs`.

use std::fmt;

/// How callers of the PKCS#11 interface learn of a reason; `abi` maps each class to return codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReasonClass {
    /// Nobody has said who is calling.
    NoIdentity,
    /// This caller's role can never sign, whatever the data.
    NeverSigns,
    /// The mechanism, its hash or the key's size is not allowed. Found with the data, it is bad input.
    Mechanism,
    /// Decided: no.
    DecidedNo,
    /// The data is not what the mechanism takes.
    BadInput,
    /// Nothing could be decided, or what was decided could not be carried out.
    CannotDecide,
}

macro_rules! reasons {
    ($(#[doc = $meaning:literal] $variant:ident = $number:literal, $code:literal, $class:ident, $next:literal;)*) => {
        /// Why a signature was refused.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Reason { $(#[doc = $meaning] $variant),* }

        impl Reason {
            /// Every reason, by number.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The stable code: `SG-APPROVAL-REQUIRED`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code),* }
            }

            /// The stable number.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self { $(Reason::$variant => $number),* }
            }

            /// How callers learn of it.
            #[must_use]
            pub const fn class(self) -> ReasonClass {
                match self { $(Reason::$variant => ReasonClass::$class),* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$variant => $meaning.trim_ascii()),* }
            }

            /// What helps, where nothing more is known about the case.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self { $(Reason::$variant => $next),* }
            }
        }
    };
}

reasons! {
    /// There is no policy.
    NoPolicy = 101, "SG-NO-POLICY", CannotDecide, "signgate doctor";
    /// The policy's lifetime is over.
    PolicyExpired = 102, "SG-POLICY-EXPIRED", CannotDecide, "publish a fresh policy, then signgate doctor";
    /// The policy can not be read or its signatures do not hold.
    PolicyInvalid = 103, "SG-POLICY-INVALID", CannotDecide, "signgate doctor";
    /// The policy is older than one already seen here.
    PolicyRolledBack = 104, "SG-POLICY-ROLLED-BACK", CannotDecide, "signgate doctor";
    /// The clock is behind a moment already seen here.
    Clock = 105, "SG-CLOCK", CannotDecide, "set the clock, then signgate doctor";
    /// Nobody has said who is calling.
    NoIdentity = 201, "SG-NO-IDENTITY", NoIdentity, "give a service token as the PIN, or have the policy name this os_user";
    /// The policy no longer knows the one who called.
    PrincipalUnknown = 202, "SG-PRINCIPAL-UNKNOWN", DecidedNo, "ask an administrator to enter the user in the policy";
    /// The user is disabled.
    PrincipalDisabled = 203, "SG-PRINCIPAL-DISABLED", DecidedNo, "ask an administrator to enable the user";
    /// The service token's end date is over.
    CredentialExpired = 204, "SG-CREDENTIAL-EXPIRED", DecidedNo, "ask an administrator for a new service token";
    /// The service token is disabled.
    CredentialDisabled = 205, "SG-CREDENTIAL-DISABLED", DecidedNo, "ask an administrator for a new service token";
    /// The kernel's word on who is at the other end of the gate's socket can not be had, or does not count.
    PeerUnproved = 206, "SG-PEER-UNPROVED", CannotDecide, "signgate doctor";
    /// The evidence stands for more than one user.
    IdentityAmbiguous = 207, "SG-IDENTITY-AMBIGUOUS", DecidedNo, "ask an administrator to make the users' evidence differ";
    /// The user is known only by account and credential together.
    SecondFactor = 208, "SG-SECOND-FACTOR", DecidedNo, "sign in enforced mode, from the user's own account, and give the credential as the PIN";
    /// The ID token is no signed token that can be read, or has parts that are not understood.
    JwtMalformed = 209, "SG-JWT-MALFORMED", DecidedNo, "get a new ID token: signgate token";
    /// The policy does not name the ID token's issuer.
    JwtIssuer = 210, "SG-JWT-ISSUER", DecidedNo, "ask an administrator to enter the issuer in the policy";
    /// The policy has no key of the issuer with the name that the ID token gives.
    JwtKey = 211, "SG-JWT-KEY", DecidedNo, "ask an administrator to enter the issuer's new keys in the policy";
    /// The ID token's algorithm proves nothing, or is not the one of the key.
    JwtAlgorithm = 212, "SG-JWT-ALGORITHM", DecidedNo, "have the issuer sign with an asymmetric key that the policy names";
    /// The ID token's signature does not verify under the issuer's key.
    JwtSignature = 213, "SG-JWT-SIGNATURE", DecidedNo, "get a new ID token: signgate token";
    /// The ID token is meant for somebody else.
    JwtAudience = 214, "SG-JWT-AUDIENCE", DecidedNo, "ask the issuer for a token with the audience that the policy names";
    /// The ID token's time is over.
    JwtExpired = 215, "SG-JWT-EXPIRED", DecidedNo, "get a new ID token: signgate token";
    /// The ID token's time has not begun.
    JwtNotYetValid = 216, "SG-JWT-NOT-YET-VALID", DecidedNo, "wait, or set the clock";
    /// The ID token is meant to live longer than the policy lets any of its issuer's tokens.
    JwtLifetime = 217, "SG-JWT-LIFETIME", DecidedNo, "ask the issuer for a token that lives shorter";
    /// No user of the policy has the ID token's claims.
    JwtClaims = 218, "SG-JWT-CLAIMS", DecidedNo, "ask an administrator to enter the claims for a user";
    /// The ID token was used by another account, after another start of the host, or for another login.
    JwtReplayed = 219, "SG-JWT-REPLAYED", DecidedNo, "get an ID token of your own: signgate token";
    /// There is no such signer, or it is hidden from this caller.
    SignerUnknown = 301, "SG-SIGNER-UNKNOWN", DecidedNo, "ask an administrator to make you a member of the signer";
    /// There is no such thing in the policy.
    ObjectUnknown = 302, "SG-OBJECT-UNKNOWN", DecidedNo, "name something that the policy has";
    /// The mechanism is not allowed for this key pair, or is not for this kind of key.
    MechanismNotAllowed = 401, "SG-MECHANISM-NOT-ALLOWED", Mechanism, "use a mechanism that the key pair allows";
    /// The hash is weak and the key pair does not allow it by name.
    DigestWeak = 402, "SG-DIGEST-WEAK", Mechanism, "sign with SHA-256 or stronger";
    /// The key pair does not allow this hash.
    DigestNotAllowed = 403, "SG-DIGEST-NOT-ALLOWED", Mechanism, "use a hash that the key pair allows";
    /// The key is too short.
    KeySize = 404, "SG-KEY-SIZE", Mechanism, "ask an administrator for a longer key";
    /// The signer's public key or certificate can not be read, or they contradict each other.
    KeyUnreadable = 405, "SG-KEY-UNREADABLE", CannotDecide, "signgate policy lint";
    /// The data for CKM_RSA_PKCS is not one DigestInfo of a known hash.
    NotDigestInfo = 406, "SG-NOT-DIGEST-INFO", BadInput, "let the tool hash the data, or use a mechanism with a hash";
    /// The data has a length that the mechanism does not take.
    DataLength = 407, "SG-DATA-LENGTH", BadInput, "sign a hash value, or use a mechanism with a hash";
    /// An auditor only looks.
    Auditor = 501, "SG-AUDITOR", NeverSigns, "ask an administrator for the role operator";
    /// Product administrators sign only with a role on the signer.
    ProductAdmin = 502, "SG-PRODUCT-ADMIN", NeverSigns, "have yourself made an operator of the signer";
    /// The scope `system` is kept away from every key.
    SystemScope = 503, "SG-SYSTEM-SCOPE", NeverSigns, "sign as a user whose scope is not system";
    /// No role holds the account permission.
    PermissionMissing = 504, "SG-PERMISSION-MISSING", NeverSigns, "ask an administrator for a role with the permission";
    /// A role holds the account permission, but what it needs besides is missing.
    PermissionVoid = 505, "SG-PERMISSION-VOID", NeverSigns, "ask an administrator for the permission that this one needs";
    /// No access control string covers what is asked.
    AccessStringMissing = 506, "SG-ACCESS-STRING-MISSING", NeverSigns, "ask an administrator for a role with the string";
    /// Whoever signs policies may not sign with their keys.
    PolicyAuthor = 507, "SG-POLICY-AUTHOR", NeverSigns, "have somebody sign who has no policy keys";
    /// The role does not include this action.
    RoleMissing = 508, "SG-ROLE-MISSING", DecidedNo, "ask an administrator for a role with this right";
    /// No role on the signer.
    NotMember = 601, "SG-NOT-A-MEMBER", DecidedNo, "ask an administrator to make you a member of the signer";
    /// The key pair is assigned neither to this user nor to a group or team of his.
    NotAssigned = 602, "SG-NOT-ASSIGNED", DecidedNo, "ask an administrator to assign the key pair to you";
    /// The team that the key pair is assigned to is over.
    TeamExpired = 603, "SG-TEAM-EXPIRED", DecidedNo, "ask an administrator to extend the team";
    /// The permission reaches only what is one's own.
    NotOwn = 604, "SG-NOT-OWN", DecidedNo, "ask whoever it belongs to";
    /// The signer is pending, failed, disabled or expired.
    SignerNotActive = 701, "SG-SIGNER-NOT-ACTIVE", DecidedNo, "ask an administrator to activate the signer";
    /// The key pair is suspended.
    KeypairSuspended = 702, "SG-KEYPAIR-SUSPENDED", DecidedNo, "ask an administrator why the key pair is suspended";
    /// The key pair is revoked.
    KeypairRevoked = 703, "SG-KEYPAIR-REVOKED", DecidedNo, "use a signer with another key pair";
    /// The certificate's validity has not begun.
    CertificateNotYetValid = 704, "SG-CERTIFICATE-NOT-YET-VALID", DecidedNo, "wait, or check the clock";
    /// The certificate's validity is over.
    CertificateExpired = 705, "SG-CERTIFICATE-EXPIRED", DecidedNo, "ask an administrator to renew the certificate";
    /// The certificate, or one above it, is revoked.
    CertificateRevoked = 706, "SG-CERTIFICATE-REVOKED", DecidedNo, "ask an administrator for a new certificate";
    /// The signer's key was replaced between C_SignInit and the signature.
    KeyReplaced = 707, "SG-KEY-REPLACED", DecidedNo, "run the tool again";
    /// A test key pair, or its certificate, is meant to last longer than thirty days.
    TestTooOld = 708, "SG-TEST-TOO-OLD", DecidedNo, "make a new test key pair, or use one for production";
    /// The key pair is offline and no release names it.
    ReleaseRequired = 801, "SG-RELEASE-REQUIRED", DecidedNo, "request a release for the key pair";
    /// The release lacks approvals of people who may approve it.
    ReleaseNotApproved = 802, "SG-RELEASE-NOT-APPROVED", DecidedNo, "have the release approved";
    /// Not a participant of the release.
    ReleaseNotParticipant = 803, "SG-RELEASE-NOT-PARTICIPANT", DecidedNo, "ask for a place among the participants of the release";
    /// The release's window has not begun or is over.
    ReleaseWindow = 804, "SG-RELEASE-WINDOW", DecidedNo, "sign in the window, or request another release";
    /// Too few builds report the same digests.
    ReleaseNotCompared = 805, "SG-RELEASE-NOT-COMPARED", DecidedNo, "report the digests of another build of the release";
    /// The threat scan is missing, failed, or was run by somebody who may not.
    ReleaseNotScanned = 806, "SG-RELEASE-NOT-SCANNED", DecidedNo, "run the threat scan of the release";
    /// The release's signatures are used up.
    ReleaseExhausted = 807, "SG-RELEASE-EXHAUSTED", DecidedNo, "request another release";
    /// The release is counted by another ledger.
    ReleaseWrongLedger = 808, "SG-RELEASE-WRONG-LEDGER", DecidedNo, "sign on the host whose ledger the release names";
    /// The release is for key pairs of another status or category.
    ReleaseType = 809, "SG-RELEASE-TYPE", DecidedNo, "request a release of the type that fits the key pair";
    /// The signer needs approvals and no grant has them.
    ApprovalRequired = 901, "SG-APPROVAL-REQUIRED", DecidedNo, "signgate request";
    /// The grant is revoked.
    GrantRevoked = 902, "SG-GRANT-REVOKED", DecidedNo, "signgate request";
    /// The grant is counted by another ledger.
    WrongLedger = 903, "SG-WRONG-LEDGER", DecidedNo, "sign on the host the grant names, or request a grant for this one";
    /// The grant is for another policy, root or key, or breaks a rule of its kind.
    GrantMismatch = 904, "SG-GRANT-MISMATCH", DecidedNo, "signgate request";
    /// The grant gives more than the approval policy lets any request have.
    GrantOverCap = 905, "SG-GRANT-OVER-CAP", DecidedNo, "signgate request, within the caps of the signer";
    /// The signer signs only what enough builds gave, and too few agree.
    BuildsRequired = 906, "SG-BUILDS-REQUIRED", DecidedNo, "signgate report";
    /// The grant's time is over.
    GrantWindowOver = 1001, "SG-GRANT-WINDOW-OVER", DecidedNo, "signgate request";
    /// The grant's signatures are used up.
    GrantExhausted = 1002, "SG-GRANT-EXHAUSTED", DecidedNo, "signgate request";
    /// The grant is for another command, application, host, user or digest.
    ScopeMismatch = 1003, "SG-SCOPE-MISMATCH", DecidedNo, "sign as the grant says, or signgate request";
    /// The signer's signatures for this hour are spent.
    RateReached = 1101, "SG-RATE-REACHED", DecidedNo, "wait, or have an administrator raise `rate.per_hour` of the signer";
    /// The signer does not sign from this program, host or user.
    WrongPlace = 1102, "SG-WRONG-PLACE", DecidedNo, "sign from where the signer's policy says";
    /// The signer does not sign at this time.
    WrongTime = 1103, "SG-WRONG-TIME", DecidedNo, "sign when the signer's policy says";
    /// The signer signs certain files only, and this is none of them or none was shown.
    WrongArtifact = 1104, "SG-WRONG-ARTIFACT", DecidedNo, "sign a file that the signer's policy names, with signtool, which shows it";
    /// The counts can not be written.
    LedgerUnwritable = 1201, "SG-LEDGER-UNWRITABLE", CannotDecide, "signgate doctor";
    /// The audit records can not be written.
    AuditUnwritable = 1202, "SG-AUDIT-UNWRITABLE", CannotDecide, "signgate doctor";
    /// The configuration names no ledger, so no signature could be recorded.
    NoLedger = 1203, "SG-NO-LEDGER", CannotDecide, "signgate ledger init";
    /// The token's signature does not verify under the policy's key; nothing was released.
    VerificationFailed = 1301, "SG-VERIFICATION-FAILED", CannotDecide, "signgate doctor";
    /// The token did not sign.
    BackingFailed = 1302, "SG-BACKING-FAILED", CannotDecide, "signgate doctor";
}

impl Reason {
    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.number() == number)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_and_numbers_are_unique_and_numbers_ascend() {
        let codes: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        assert!(Reason::ALL.iter().all(|reason| reason.code().starts_with("SG-")));
    }

    #[test]
    fn a_reason_is_found_by_code_and_by_number() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(Reason::from_number(reason.number()), Some(*reason));
        }
    }
}
