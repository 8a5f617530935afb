//! A second evaluator, written straight from the rules of docs/access-models.md over the JSON text of a policy. It is slow,
//! shares no code with the product, and answers only with a reason's code. Where the two differ, one of them is wrong.

use serde_json::Value;
use std::collections::BTreeSet;

type Verdict = Result<(), &'static str>;

fn list<'v>(value: &'v Value, member: &str) -> impl Iterator<Item = &'v Value> {
    value.get(member).and_then(Value::as_array).into_iter().flatten()
}

fn words(value: &Value, member: &str) -> Vec<String> {
    list(value, member).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn word<'v>(value: &'v Value, member: &str, default: &'v str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or(default)
}

/// A policy as its text says it.
pub struct Naive<'p> {
    pub policy: &'p Value,
    /// RFC 3339 in UTC, all of one length, so that comparing text compares moments.
    pub now: &'p str,
}

impl Naive<'_> {
    fn is_in_group(&self, who: &str, group: &str) -> bool {
        let members = words(&self.policy["groups"][group], "members");
        members.iter().any(|member| match member.split_once(':') {
            Some(("group", inner)) => self.is_in_group(who, inner),
            Some((_, name)) => name == who,
            None => member == who,
        })
    }

    fn is_one_of(&self, who: &str, list: &[String]) -> bool {
        list.iter().any(|entry| match entry.split_once(':') {
            Some(("group", group)) => self.is_in_group(who, group),
            Some((_, name)) => name == who,
            None => entry == who,
        })
    }

    /// An entry with one of `user`, `service_user` and `group`.
    fn is_meant(&self, who: &str, entry: &Value) -> bool {
        word(entry, "user", "") == who
            || word(entry, "service_user", "") == who
            || entry.get("group").and_then(Value::as_str).is_some_and(|group| self.is_in_group(who, group))
    }

    fn roles(&self, who: &str) -> Vec<&Value> {
        let held = list(self.policy, "assignments").filter(|entry| self.is_meant(who, entry));
        held.filter_map(|entry| self.policy["roles"].get(word(entry, "role", ""))).collect()
    }

    fn is_system(&self, who: &str) -> bool {
        word(&self.policy["users"][who], "scope", "account") == "system"
    }

    fn permissions(&self, who: &str) -> BTreeSet<String> {
        const CRYPTOGRAPHIC: [&str; 10] = [
            "sign",
            "generate_keypair",
            "import_keypair",
            "request_keypair_export",
            "approve_keypair_export",
            "approve_keypair_delete",
            "manage_master_gpg_key",
            "generate_certificate",
            "import_certificate",
            "revoke_certificate",
        ];
        const NEEDS: [(&str, &str); 6] = [
            ("export_audit_logs", "view_audit_log"),
            ("manage_certificate_hierarchy", "view_certificate"),
            ("manage_certificate_profiles", "view_certificate_profile"),
            ("manage_certificate_template", "view_certificate_template"),
            ("manage_keypair", "view_keypair"),
            ("manage_threat_detection", "view_threat_detection"),
        ];
        let mut held = BTreeSet::new();
        for role in self.roles(who) {
            let system = word(role, "scope", "account") == "system" || self.is_system(who);
            let listed = words(role, "permissions").into_iter();
            held.extend(listed.filter(|one| !(system && CRYPTOGRAPHIC.contains(&one.as_str()))));
        }
        let all = held.clone();
        held.retain(|one| NEEDS.iter().all(|(what, needed)| what != one || all.contains(*needed)));
        held
    }

    fn lists(&self, who: &str, permission: &str) -> bool {
        self.roles(who).iter().any(|role| words(role, "permissions").iter().any(|one| one == permission))
    }

    /// Whether a string of the principal is the beginning of this one. Random policies hold well-formed strings only.
    fn covers(&self, who: &str, asked: &str) -> bool {
        self.roles(who).iter().any(|role| words(role, "access_control").iter().any(|text| asked.starts_with(text)))
    }

    fn covers_signer(&self, who: &str, verb: &str, signer: &Value) -> bool {
        let id = signer.get("id").map(|id| format!("{id}/")).unwrap_or_default();
        self.covers(who, &format!("/code_signing/signers/{verb}/{id}"))
    }

    fn is_assigned(&self, who: &str, keypair: &Value, at: Option<&str>) -> Verdict {
        let named = words(keypair, "allowed_users").iter().any(|user| user == who)
            || words(keypair, "allowed_user_groups").iter().any(|group| self.is_in_group(who, group));
        if word(keypair, "access", "restricted") == "open" || named {
            return Ok(());
        }
        let Some(team) = keypair.get("team").and_then(Value::as_str).map(|team| &self.policy["teams"][team]) else {
            return Err("SG-NOT-ASSIGNED");
        };
        if !self.is_one_of(who, &words(team, "members")) {
            return Err("SG-NOT-ASSIGNED");
        }
        match (team.get("expires").and_then(Value::as_str), at) {
            (Some(end), Some(now)) if end <= now => Err("SG-TEAM-EXPIRED"),
            _ => Ok(()),
        }
    }

    fn signer_roles(&self, who: &str, signer: &Value) -> BTreeSet<String> {
        let members = list(signer, "members").filter(|member| self.is_meant(who, member));
        members.map(|member| word(member, "role", "").to_owned()).collect()
    }

    fn is_product_admin(&self, who: &str) -> bool {
        self.is_one_of(who, &words(&self.policy["product_roles"], "product_admin"))
    }

    fn sees(&self, model: &str, who: &str, signer: &Value, keypair: &Value) -> bool {
        match model {
            "signer" => self.is_product_admin(who) || !self.signer_roles(who, signer).is_empty(),
            "account" => {
                let held = self.permissions(who);
                let uses = held.contains("view_keypair") || held.contains("sign");
                held.contains("manage_keypair") || (uses && self.is_assigned(who, keypair, None).is_ok())
            }
            _ => ["read", "sign", "request", "approve", "suspend", "modify"]
                .iter()
                .any(|verb| self.covers_signer(who, verb, signer)),
        }
    }

    fn may_ever_sign(&self, model: &str, who: &str, signer: &Value) -> Verdict {
        match model {
            "signer" => {
                let roles = self.signer_roles(who, signer);
                if roles.contains("operator") || roles.contains("administrator") {
                    Ok(())
                } else if roles.contains("auditor") {
                    Err("SG-AUDITOR")
                } else {
                    Err("SG-PRODUCT-ADMIN")
                }
            }
            "account" if self.permissions(who).contains("sign") => Ok(()),
            "account" if self.lists(who, "sign") => Err("SG-PERMISSION-VOID"),
            "account" => Err("SG-PERMISSION-MISSING"),
            _ if self.covers_signer(who, "sign", signer) => Ok(()),
            _ => Err("SG-ACCESS-STRING-MISSING"),
        }
    }

    /// Checks 2 to 11 of a signature with a good mechanism and hash, no grants, and so many signatures spent.
    pub fn sign(&self, who: &str, name: &str, used: u64, store: &str) -> Verdict {
        if self.policy["users"][who]["disabled"] == true {
            return Err("SG-PRINCIPAL-DISABLED");
        }
        let Some(signer) = self.policy["signers"].get(name) else { return Err("SG-SIGNER-UNKNOWN") };
        let keypair = &self.policy["keypairs"][word(signer, "keypair", "")];
        let mut models = words(keypair, "governed_by");
        if models.is_empty() {
            models.push("signer".to_owned());
        }
        if !models.iter().all(|model| self.sees(model, who, signer, keypair)) {
            return Err("SG-SIGNER-UNKNOWN");
        }
        if self.is_system(who) {
            return Err("SG-SYSTEM-SCOPE");
        }
        let duties = words(self.policy, "separation_of_duties");
        let is_author = list(&self.policy["users"][who], "policy_keys").next().is_some();
        if is_author && duties.iter().any(|duty| duty == "author_may_not_sign") {
            return Err("SG-POLICY-AUTHOR");
        }
        for model in &models {
            self.may_ever_sign(model, who, signer)?;
        }
        for model in models.iter().filter(|model| *model == "account") {
            debug_assert_eq!(model, "account");
            self.is_assigned(who, keypair, Some(self.now))?;
        }
        match word(keypair, "status", "online") {
            "suspended" => return Err("SG-KEYPAIR-SUSPENDED"),
            "revoked" => return Err("SG-KEYPAIR-REVOKED"),
            _ => {}
        }
        if word(signer, "status", "active") != "active" {
            return Err("SG-SIGNER-NOT-ACTIVE");
        }
        self.release(who, word(signer, "keypair", ""), keypair, &models, used, store)?;
        let observed = signer["observe_only"] == true;
        if signer.get("approval_policy").is_some() && !observed {
            return Err("SG-APPROVAL-REQUIRED");
        }
        if signer.get("where").is_some() && !observed {
            // Nothing is known of the caller here.
            return Err("SG-WRONG-PLACE");
        }
        Ok(())
    }

    fn release(&self, who: &str, name: &str, keypair: &Value, models: &[String], used: u64, store: &str) -> Verdict {
        let offline = word(keypair, "status", "online") == "offline";
        let releases = self.policy["releases"].as_object();
        let of_keypair = |release: &&Value| {
            words(release, "keypairs").iter().any(|one| one == name) && word(release, "status", "open") == "open"
        };
        let mut open: Vec<&Value> = releases.into_iter().flat_map(|all| all.values()).filter(of_keypair).collect();
        open.sort_by_key(|release| word(release, "starts", ""));
        let live = |release: &&&Value| word(release, "starts", "") <= self.now && self.now < word(release, "ends", "");
        let fits = |release: &Value| match word(release, "type", "") {
            "offline" => offline,
            "online" => word(keypair, "status", "online") == "online",
            _ => word(keypair, "category", "production") == "test",
        };
        let release = match open.iter().find(live) {
            Some(release) if offline || fits(release) => release,
            Some(_) => return Ok(()),
            None if !offline => return Ok(()),
            None => {
                let next = open.iter().find(|release| word(release, "starts", "") > self.now);
                match next.or(open.last()) {
                    Some(release) => release,
                    None => return Err("SG-RELEASE-REQUIRED"),
                }
            }
        };
        if !fits(release) {
            return Err("SG-RELEASE-TYPE");
        }
        let right = |who: &str, permission: &str, verb: &str| {
            let id = release.get("id").map(|id| format!("{id}/")).unwrap_or_default();
            let by_permission = self.permissions(who).contains(permission);
            let by_string = self.covers(who, &format!("/code_signing/releases/{verb}/{id}"));
            let account = models.iter().any(|model| model == "account");
            let strings = models.iter().any(|model| model == "access_control");
            let enabled = self.policy["users"][who]["disabled"] != true;
            enabled
                && (!account || by_permission)
                && (!strings || by_string)
                && (account || strings || by_permission || by_string)
        };
        let requester = word(release, "requested_by", "");
        let participants = words(release, "participants");
        let apart = words(self.policy, "separation_of_duties").iter().any(|duty| duty == "operator_may_not_approve");
        let counts = |approval: &&Value| {
            let (who, at) = (word(approval, "approver", ""), word(approval, "approved_at", ""));
            who != requester
                && at <= self.now
                && at < word(release, "ends", "")
                && word(&self.policy["users"][who], "kind", "user") == "user"
                && !(apart && self.is_one_of(who, &participants))
                && right(who, "approve_release", "approve")
        };
        let approved = list(release, "approvals").filter(counts).count();
        let team = keypair.get("team").and_then(Value::as_str).map(|team| &self.policy["teams"][team]);
        let of_team = team.and_then(|team| team["required_approvals"].as_u64()).unwrap_or(0);
        let needed = release["required_approvals"].as_u64().unwrap_or(0).max(of_team);
        if !right(requester, "request_release", "request") || u64::try_from(approved).unwrap_or(0) < needed {
            return Err("SG-RELEASE-NOT-APPROVED");
        }
        if !self.is_one_of(who, &participants) {
            return Err("SG-RELEASE-NOT-PARTICIPANT");
        }
        if !live(&release) {
            return Err("SG-RELEASE-WINDOW");
        }
        if word(release, "store_id", "") != store {
            return Err("SG-RELEASE-WRONG-LEDGER");
        }
        if used >= release["max_signings"].as_u64().unwrap_or(0) {
            return Err("SG-RELEASE-EXHAUSTED");
        }
        Ok(())
    }

    /// Account permissions without an object, and strings.
    pub fn act(&self, who: &str, action: &str) -> Verdict {
        if self.policy["users"][who]["disabled"] == true {
            return Err("SG-PRINCIPAL-DISABLED");
        }
        if action.starts_with('/') {
            return if self.covers(who, action) { Ok(()) } else { Err("SG-ACCESS-STRING-MISSING") };
        }
        if self.permissions(who).contains(action) {
            return Ok(());
        }
        let listed = self.lists(who, action);
        let generates = ["generate_keypair", "import_keypair"].contains(&action);
        match (generates && self.is_system(who), listed) {
            (true, _) => Err("SG-SYSTEM-SCOPE"),
            (false, true) => Err("SG-PERMISSION-VOID"),
            (false, false) => Err("SG-PERMISSION-MISSING"),
        }
    }
}
