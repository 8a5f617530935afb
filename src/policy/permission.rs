//! The permissions of the model `account`, by the product's names, and what makes one void: a prerequisite that is
//! missing, or the scope `system`. Source: `data/digicert-permissions.json`; a test compares every row.
//! Read next: `access/account.rs`.

use super::value::words;

words! {
    /// An account permission (DigiCert Software Trust Manager).
    Permission, "a permission" {
        /// Account settings.
        ManageAccountSettings = "manage_account_settings",
        /// The CertCentral API key.
        ManageCertcentralApiKey = "manage_certcentral_api_key",
        /// Every team.
        ManageAllTeams = "manage_all_teams",
        /// Teams the user is in.
        ManageMyTeams = "manage_my_teams",
        /// See the audit log.
        ViewAuditLog = "view_audit_log",
        /// Take the audit log out.
        ExportAuditLogs = "export_audit_logs",
        /// The own profile.
        ViewUser = "view_user",
        /// The state of the service.
        ViewHealth = "view_health",
        /// Certificates of assigned key pairs.
        ViewCertificate = "view_certificate",
        /// Certificates for assigned key pairs.
        GenerateCertificate = "generate_certificate",
        /// Certificates for assigned key pairs.
        ImportCertificate = "import_certificate",
        /// Certificates of assigned key pairs.
        RevokeCertificate = "revoke_certificate",
        /// Certificate authorities.
        ManageCertificateHierarchy = "manage_certificate_hierarchy",
        /// Profiles the user made.
        ViewCertificateProfile = "view_certificate_profile",
        /// Profiles the user made.
        ManageCertificateProfiles = "manage_certificate_profiles",
        /// Templates.
        ViewCertificateTemplate = "view_certificate_template",
        /// Templates.
        ManageCertificateTemplate = "manage_certificate_template",
        /// Sign with assigned key pairs. Nothing widens it.
        Sign = "sign",
        /// See assigned key pairs.
        ViewKeypair = "view_keypair",
        /// Make key pairs.
        GenerateKeypair = "generate_keypair",
        /// Bring key pairs in.
        ImportKeypair = "import_keypair",
        /// Ask for the export of assigned key pairs.
        RequestKeypairExport = "request_keypair_export",
        /// Agree to the export of assigned key pairs.
        ApproveKeypairExport = "approve_keypair_export",
        /// Agree to the deletion of assigned key pairs.
        ApproveKeypairDelete = "approve_keypair_delete",
        /// Every key pair but for signing.
        ManageKeypair = "manage_keypair",
        /// Assigned master GPG keys.
        ManageMasterGpgKey = "manage_master_gpg_key",
        /// See releases.
        ViewRelease = "view_release",
        /// Ask for releases.
        RequestRelease = "request_release",
        /// Agree to releases.
        ApproveRelease = "approve_release",
        /// See threat detection.
        ViewThreatDetection = "view_threat_detection",
        /// Scan.
        RunThreatDetectionScans = "run_threat_detection_scans",
        /// Reports and projects of threat detection.
        ManageThreatDetection = "manage_threat_detection",
    }
}

/// What a holder of a permission may act on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Within {
    /// The whole account.
    Account,
    /// Key pairs that are assigned to him.
    Assigned,
    /// Himself.
    Himself,
    /// What he made.
    Created,
    /// Teams he is in.
    HisTeams,
}

impl Permission {
    /// Void without it.
    pub(super) const fn requires(self) -> Option<Permission> {
        match self {
            Permission::ExportAuditLogs => Some(Permission::ViewAuditLog),
            Permission::ManageCertificateHierarchy => Some(Permission::ViewCertificate),
            Permission::ManageCertificateProfiles => Some(Permission::ViewCertificateProfile),
            Permission::ManageCertificateTemplate => Some(Permission::ViewCertificateTemplate),
            Permission::ManageKeypair => Some(Permission::ViewKeypair),
            Permission::ManageThreatDetection => Some(Permission::ViewThreatDetection),
            _ => None,
        }
    }

    /// Makes, moves, uses or ends a key or a certificate, so it is nothing for the scope `system`.
    pub(super) const fn is_cryptographic(self) -> bool {
        matches!(
            self,
            Permission::Sign
                | Permission::GenerateKeypair
                | Permission::ImportKeypair
                | Permission::RequestKeypairExport
                | Permission::ApproveKeypairExport
                | Permission::ApproveKeypairDelete
                | Permission::ManageMasterGpgKey
                | Permission::GenerateCertificate
                | Permission::ImportCertificate
                | Permission::RevokeCertificate
        )
    }

    /// What a holder may act on; `manage_keypair` lifts `Assigned` to the whole account, but for `sign`.
    pub(super) const fn within(self) -> Within {
        match self {
            Permission::ManageMyTeams => Within::HisTeams,
            Permission::ViewUser => Within::Himself,
            Permission::ViewCertificateProfile | Permission::ManageCertificateProfiles => Within::Created,
            Permission::ViewCertificate
            | Permission::GenerateCertificate
            | Permission::ImportCertificate
            | Permission::RevokeCertificate
            | Permission::Sign
            | Permission::ViewKeypair
            | Permission::RequestKeypairExport
            | Permission::ApproveKeypairExport
            | Permission::ApproveKeypairDelete
            | Permission::ManageMasterGpgKey => Within::Assigned,
            _ => Within::Account,
        }
    }

    /// The finer actions that the permission covers, each with the further permission it needs.
    pub(super) const fn actions(self) -> &'static [(&'static str, Option<Permission>)] {
        match self {
            Permission::ManageCertificateHierarchy => &[
                ("view", None),
                ("create", None),
                ("update", None),
                ("approve", None),
                ("reject", None),
                ("suspend", None),
                ("unsuspend", None),
                ("activate_restricted", None),
                ("deactivate_restricted", None),
            ],
            Permission::ManageCertificateProfiles => &[
                ("view", None),
                ("create", None),
                ("update", None),
                ("clone", None),
                ("enable", None),
                ("disable", None),
                ("delete", None),
                ("view_update_delete_certificates_of_own_profiles", None),
            ],
            Permission::ManageCertificateTemplate => &[("create", None), ("update", None), ("clone", None)],
            Permission::ManageKeypair => &[
                ("update", None),
                ("suspend", None),
                ("unsuspend", None),
                ("keypair_profile_create", None),
                ("keypair_profile_update", None),
                ("keypair_profile_enable", None),
                ("keypair_profile_disable", None),
                ("user_group_create", None),
                ("user_group_update", None),
                ("key_rotation_create", None),
                ("key_rotation_update", None),
                ("key_rotation_refresh", None),
                ("generate_csr", None),
            ],
            Permission::ManageMasterGpgKey => &[
                ("create", Some(Permission::GenerateKeypair)),
                ("import_secring", Some(Permission::ImportKeypair)),
                ("update", None),
                ("suspend", None),
                ("unsuspend", None),
                ("delete", Some(Permission::ApproveKeypairDelete)),
                ("revoke", Some(Permission::RevokeCertificate)),
            ],
            Permission::ImportKeypair => &[("gpg_secring", Some(Permission::ManageMasterGpgKey))],
            Permission::ApproveRelease => &[("create", None), ("approve_offline", None), ("reject_offline", None)],
            Permission::ManageThreatDetection => &[("download_reports", None), ("assign_to_projects", None)],
            _ => &[],
        }
    }

    #[cfg_attr(not(test), expect(clippy::as_conversions, reason = "a bit for each variant, by its position, below 64"))]
    const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

/// Finer actions of permissions that the scope `system` keeps, and that use or make a key all the same.
pub(super) const CRYPTOGRAPHIC_ACTIONS: [(Permission, &str); 3] = [
    (Permission::ManageKeypair, "key_rotation_create"),
    (Permission::ManageKeypair, "key_rotation_refresh"),
    (Permission::ManageKeypair, "generate_csr"),
];

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Permissions(u64);

impl Permissions {
    pub fn of(permissions: impl IntoIterator<Item = Permission>) -> Permissions {
        Permissions(permissions.into_iter().fold(0, |bits, one| bits | one.bit()))
    }

    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    pub const fn union(self, other: Permissions) -> Permissions {
        Permissions(self.0 | other.0)
    }

    /// Without what the scope `system` takes.
    pub fn without_cryptographic(self) -> Permissions {
        Permissions::of(self.iter().filter(|one| !one.is_cryptographic()))
    }

    /// Without what is void for want of a prerequisite. No prerequisite has one of its own.
    pub fn with_prerequisites(self) -> Permissions {
        Permissions::of(self.iter().filter(|one| one.requires().is_none_or(|needed| self.has(needed))))
    }

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |one| self.has(*one))
    }
}

/// The role that comes with the product: day-to-day configuration, nothing cryptographic.
pub(super) const SYSTEM_ROLE: &str = "Admin (SS)";

/// What the system role holds.
pub(super) fn system_role() -> Permissions {
    Permissions::of([
        Permission::ViewUser,
        Permission::ManageCertcentralApiKey,
        Permission::ViewHealth,
        Permission::ViewAuditLog,
        Permission::ExportAuditLogs,
        Permission::ManageCertificateHierarchy,
        Permission::ViewCertificate,
        Permission::ViewCertificateProfile,
        Permission::ManageCertificateProfiles,
        Permission::ViewCertificateTemplate,
        Permission::ManageCertificateTemplate,
        Permission::ManageKeypair,
        Permission::ViewKeypair,
        Permission::ViewRelease,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn table() -> Value {
        serde_json::from_str(include_str!("data/digicert-permissions.json")).unwrap()
    }

    #[test]
    fn every_row_of_the_table_is_a_permission_with_its_prerequisites_limits_and_actions() {
        let table = table();
        let rows = table["permissions"].as_array().unwrap();
        assert_eq!(rows.len(), Permission::ALL.len());
        for row in rows {
            let permission = Permission::from_name(row["permission"].as_str().unwrap()).unwrap();
            match row.get("requires") {
                Some(required) => assert_eq!(permission.requires().unwrap().name(), required[0], "{permission}"),
                // The general rule "manage_X needs view_X" of the model reaches further than the table here.
                None if permission == Permission::ManageThreatDetection => {}
                None => assert_eq!(permission.requires(), None, "{permission}"),
            }
            let assigned = row.get("within").and_then(Value::as_str).is_some_and(|text| text.starts_with("assigned"));
            assert_eq!(permission.within() == Within::Assigned, assigned, "{permission}");
            let widened = row.get("widened_by").and_then(Value::as_str);
            assert_eq!(widened.is_some(), assigned && permission != Permission::Sign, "{permission}");
            let actions: Vec<(String, Option<&str>)> = match row.get("actions") {
                Some(Value::Array(names)) => names.iter().map(|n| (n.as_str().unwrap().to_owned(), None)).collect(),
                Some(Value::Object(names)) => {
                    names.iter().map(|(name, needs)| (name.clone(), needs[0].as_str())).collect()
                }
                _ if permission == Permission::ImportKeypair => {
                    vec![("gpg_secring".to_owned(), Some("manage_master_gpg_key"))]
                }
                _ => Vec::new(),
            };
            let ours =
                permission.actions().iter().map(|(name, needs)| ((*name).to_owned(), needs.map(Permission::name)));
            let (mut ours, mut theirs): (Vec<_>, Vec<_>) = (ours.collect(), actions);
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{permission}");
        }
    }

    #[test]
    fn the_system_role_is_that_of_the_table_and_holds_nothing_cryptographic() {
        let table = table();
        let role = &table["roles"][0];
        assert_eq!(role["role"], SYSTEM_ROLE);
        let theirs = role["permissions"].as_array().unwrap();
        let theirs = Permissions::of(theirs.iter().map(|name| Permission::from_name(name.as_str().unwrap()).unwrap()));
        assert_eq!(system_role(), theirs);
        assert_eq!(theirs.without_cryptographic(), theirs);
        assert_eq!(theirs.with_prerequisites(), theirs);
    }

    #[test]
    fn a_permission_without_its_prerequisite_is_void() {
        for permission in Permission::ALL {
            let alone = Permissions::of([*permission]).with_prerequisites();
            assert_eq!(alone.has(*permission), permission.requires().is_none(), "{permission}");
            if let Some(needed) = permission.requires() {
                assert!(Permissions::of([*permission, needed]).with_prerequisites().has(*permission));
                assert_eq!(needed.requires(), None, "a prerequisite has none of its own");
            }
        }
    }
}
