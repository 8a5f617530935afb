#!/usr/bin/env python3
"""Writes the decision vectors beside this file: policy, attempt, expected answer.

What is expected comes from the tables in src/policy/data and from the rules of docs/access-models.md, written down here
by hand; the evaluator is never asked. The JSON is what counts: any other evaluator can be held to it.
"""
import json, os

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../../../src/policy/data")
KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjNDzCmLAWhSt7y+Y0m6LOBghSrfk
uO0E8ye/kDIRFrsLd0O7PT4iXVPvRWFZZZeKIdKaK7hP6x+oRtGTV1lBZA==
-----END PUBLIC KEY-----"""
OTHER_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgVMZs96oeS8Umba65B0BvkOg0wJR
TnR/3denj0OJbl3Kw0f3Rn0TWM0x739CuHGtDjjprUfOey5S+WjXSMhwvA==
-----END PUBLIC KEY-----"""
NOW = "2026-06-01T12:00:00Z"


def table(name):
    with open(os.path.join(DATA, name)) as file:
        return json.load(file)


def write(name, about, policies, vectors):
    names = [vector["name"] for vector in vectors]
    assert len(names) == len(set(names)), [one for one in names if names.count(one) > 1][:3]
    lines = ",\n".join("    " + json.dumps(vector) for vector in vectors)
    with open(os.path.join(HERE, name), "w") as file:
        file.write('{ "about": %s,\n  "now": %s,\n  "policies": %s,\n  "vectors": [\n%s\n  ] }\n'
                   % (json.dumps(about), json.dumps(NOW), json.dumps(policies, indent=2).replace("\n", "\n  "), lines))
    print(name, len(vectors))


def add(path, value):
    return {"op": "add", "path": path, "value": value}


def remove(path):
    return {"op": "remove", "path": path}


def act(name, policy, principal, action, on, reason, *changes):
    return {"name": name, "policy": policy, "change": list(changes),
            "act": {"principal": principal, "action": action, "on": on}, "expected": expected(reason)}


def sign(name, policy, principal, signer, reason, *changes, **attempt):
    return {"name": name, "policy": policy, "change": list(changes),
            "attempt": {"principal": principal, "signer": signer, **attempt}, "expected": expected(reason)}


def expected(reason):
    return {"decision": "permit"} if reason is None else {"decision": "deny", "reason": reason}


def users(*names):
    return {name: {"os_user": name} for name in names}


# ---------------------------------------------------------------- actions

ACTIONS = {
    "schema": "signgate.policy/1", "id": "vectors",
    "users": {**users("p", "q", "sys"), "sys": {"os_user": "sys", "scope": "system"}},
    "teams": {"mine": {"members": ["p", "sys"]}, "theirs": {"members": ["q"]},
              "over": {"members": ["p"], "expires": "2026-01-01T00:00:00Z"}},
    "roles": {"r": {}}, "assignments": [{"role": "r", "user": "p"}, {"role": "r", "user": "sys"}],
    "certificate_profiles": {"own": {"created_by": "p"}, "foreign": {"created_by": "q"}},
    "collections": {"five": {"id": 5}}, "containers": {"five": {"id": 5}},
    "keypairs": {
        "k": {"public_key": KEY, "token": "t", "governed_by": ["account"], "allowed_users": ["p", "sys"]},
        "far": {"public_key": OTHER_KEY, "token": "t", "governed_by": ["account"]},
        "string": {"public_key": KEY, "token": "t", "governed_by": ["access_control"]}},
    "signers": {"s": {"keypair": "k"}, "far": {"keypair": "far"}, "string": {"keypair": "string", "id": 5}},
    "applications": {"app": {"keypairs": ["far"]}},
}

ASSIGNED = "assigned"


def object_of(row):
    name, within = row["permission"], row.get("within", "")
    if within.startswith(ASSIGNED):
        return "keypair:k"
    return {"manage_my_teams": "team:mine", "manage_all_teams": "team:theirs", "view_user": "user:p",
            "view_certificate_profile": "certificate_profile:own",
            "manage_certificate_profiles": "certificate_profile:own"}.get(name, "account")


# By the rule "manage_X needs view_X", where the table has both and names no prerequisite.
ALSO_REQUIRES = {"manage_threat_detection": ["view_threat_detection"]}
# What makes, moves, uses or ends a key or certificate.
CRYPTOGRAPHIC = {"sign", "generate_keypair", "import_keypair", "request_keypair_export", "approve_keypair_export",
                 "approve_keypair_delete", "manage_master_gpg_key", "generate_certificate", "import_certificate",
                 "revoke_certificate"}
CRYPTOGRAPHIC_ACTIONS = {"manage_keypair.generate_csr", "manage_keypair.key_rotation_create",
                         "manage_keypair.key_rotation_refresh"}


def permissions():
    vectors = []
    for row in table("digicert-permissions.json")["permissions"]:
        name, on = row["permission"], object_of(row)
        requires = row.get("requires", ALSO_REQUIRES.get(name, []))
        held = [name] + requires
        give = lambda permissions: add("/roles/r/permissions", permissions)
        vectors.append(act(f"{name}: held", "actions", "p", name, on, None, give(held)))
        vectors.append(act(f"{name}: not held", "actions", "p", name, on, "SG-PERMISSION-MISSING", give(["view_health"] if name != "view_health" else ["view_user"])))
        if requires:
            vectors.append(act(f"{name}: without its prerequisite", "actions", "p", name, on, "SG-PERMISSION-VOID", give([name])))
        of_system = "SG-SYSTEM-SCOPE" if name in CRYPTOGRAPHIC else None
        on_sys = {"user:p": "user:sys", "certificate_profile:own": "certificate_profile:sys"}.get(on, on)
        vectors.append(act(f"{name}: scope system", "actions", "sys", name, on_sys, of_system, give(held),
                           add("/certificate_profiles/sys", {"created_by": "sys"})))
        role_of_system = "SG-PERMISSION-VOID" if name in CRYPTOGRAPHIC else None
        vectors.append(act(f"{name}: role of the scope system", "actions", "p", name, on, role_of_system, give(held), add("/roles/r/scope", "system")))
        if row.get("within", "").startswith(ASSIGNED):
            vectors.append(act(f"{name}: not assigned", "actions", "p", name, "keypair:far", "SG-NOT-ASSIGNED", give(held), remove("/applications/app")))
            widened = None if row["widened_by"] == "manage_keypair" else "SG-NOT-ASSIGNED"
            vectors.append(act(f"{name}: widened by manage_keypair", "actions", "p", name, "keypair:far", widened,
                               give(list(dict.fromkeys(held + ["manage_keypair", "view_keypair"]))), remove("/applications/app")))
        finer = row.get("actions", [])
        if name == "import_keypair":
            finer = {"gpg_secring": ["manage_master_gpg_key"]}
        for action in finer:
            further = finer[action] if isinstance(finer, dict) else []
            full = f"{name}.{action}"
            vectors.append(act(f"{full}: held", "actions", "p", full, on, None, give(list(dict.fromkeys(held + further)))))
            for missing in further:
                vectors.append(act(f"{full}: without {missing}", "actions", "p", full, on, "SG-PERMISSION-MISSING", give(held)))
            if full in CRYPTOGRAPHIC_ACTIONS:
                vectors.append(act(f"{full}: scope system", "actions", "sys", full, on, "SG-SYSTEM-SCOPE", give(held)))
    give = lambda *permissions: add("/roles/r/permissions", list(permissions))
    vectors += [
        act("view_user: somebody else", "actions", "p", "view_user", "user:q", "SG-NOT-OWN", give("view_user")),
        act("manage_my_teams: another team", "actions", "p", "manage_my_teams", "team:theirs", "SG-NOT-OWN", give("manage_my_teams")),
        act("manage_my_teams: a team that is over", "actions", "p", "manage_my_teams", "team:over", "SG-TEAM-EXPIRED", give("manage_my_teams")),
        act("manage_certificate_profiles: of somebody else", "actions", "p", "manage_certificate_profiles", "certificate_profile:foreign", "SG-NOT-OWN", give("manage_certificate_profiles", "view_certificate_profile")),
        act("a thing that is not there", "actions", "p", "view_keypair", "keypair:none", "SG-OBJECT-UNKNOWN", give("view_keypair")),
        act("a permission about key pairs without one", "actions", "p", "view_keypair", "account", "SG-OBJECT-UNKNOWN", give("view_keypair")),
        act("certificates of an application are for its members", "actions", "p", "view_certificate", "keypair:far", "SG-ROLE-MISSING", give("view_certificate", "manage_keypair", "view_keypair")),
        act("certificates of an application: a member sees", "actions", "p", "view_certificate", "keypair:far", None, give("view_certificate", "manage_keypair", "view_keypair"), add("/applications/app/members", [{"user": "p", "role": "admin"}])),
        act("certificates of an application: an auditor revokes none", "actions", "p", "revoke_certificate", "keypair:far", "SG-ROLE-MISSING", give("revoke_certificate", "manage_keypair", "view_keypair"), add("/applications/app/members", [{"user": "p", "role": "auditor"}])),
        act("Admin (SS) configures", "actions", "p", "manage_certificate_template", "account", None, add("/assignments/-", {"role": "Admin (SS)", "user": "p"})),
        act("Admin (SS) never signs", "actions", "p", "sign", "keypair:k", "SG-PERMISSION-MISSING", add("/assignments/-", {"role": "Admin (SS)", "user": "p"})),
        act("suspend: by the permission", "actions", "p", "suspend", "keypair:far", None, give("manage_keypair", "view_keypair")),
        act("suspend: without it", "actions", "p", "suspend", "keypair:far", "SG-PERMISSION-MISSING", give("view_keypair")),
        act("suspend: by the string", "actions", "p", "suspend", "keypair:string", None, add("/roles/r/access_control", ["/code_signing/signers/suspend/5/"])),
        act("suspend: by a string for another signer", "actions", "p", "suspend", "keypair:string", "SG-ACCESS-STRING-MISSING", add("/roles/r/access_control", ["/code_signing/signers/suspend/55/"])),
    ]
    return vectors


def strings():
    vectors = []
    rows = table("keyfactor-v2-strings.json")["rows"] + table("code-signing-strings.json")["rows"]
    seen = {}
    for row in rows:
        text = row["string"].replace("#", "5")
        give = lambda *texts: add("/roles/r/access_control", list(texts))
        other = "/portal/read/" if not text.startswith("/portal") else "/ssl/read/"
        vectors.append(act(f"{row['string']}: held", "actions", "p", text, "account", None, give(text)))
        vectors.append(act(f"{row['string']}: not held", "actions", "p", text, "account", "SG-ACCESS-STRING-MISSING", give(other)))
        segments = [one for one in text.split("/") if one]
        if len(segments) > 1:
            area = f"/{segments[0]}/"
            vectors.append(act(f"{row['string']}: by its area", "actions", "p", text, "account", None, give(area)))
            vectors.append(act(f"{row['string']}: never the other way round", "actions", "p", area, "account", "SG-ACCESS-STRING-MISSING", give(text)))
        if "#" in row["string"]:
            vectors.append(act(f"{row['string']}: another id", "actions", "p", text.replace("5", "55"), "account", "SG-ACCESS-STRING-MISSING", give(text)))
            vectors.append(act(f"{row['string']}: all ids", "actions", "p", text, "account", None, give(row["string"].replace("#/", "").replace("#", ""))))
    for row in table("keyfactor-v1-pairs.json")["rows"]:
        pair = row["pair"]
        vectors.append(act(f"{pair}: held", "actions", "p", pair, "account", None, add("/roles/r/access_control", [pair])))
        other = "SSH: User" if not pair.startswith("SSH") else "Auditing: Read"
        vectors.append(act(f"{pair}: not held", "actions", "p", pair, "account", "SG-ACCESS-STRING-MISSING", add("/roles/r/access_control", [other])))
    vectors += [
        act("/ covers everything", "actions", "p", "/certificates/collections/private_key/read/9/", "account", None, add("/roles/r/access_control", ["/"])),
        act("by a permission set", "actions", "p", "/pam/read/", "account", None, add("/permission_sets", {"set": {"access_control": ["/pam/"]}}), add("/roles/r/permission_sets", ["set"])),
        act("an unknown string grants nothing", "actions", "p", "/pam/read/", "account", "SG-ACCESS-STRING-MISSING", add("/roles/r/access_control", ["/pam/raed/", "/pam"[:0] + "/pam/reads/"])),
        act("an id at the end of a global string grants nothing", "actions", "p", "/portal/read/", "account", "SG-ACCESS-STRING-MISSING", add("/roles/r/access_control", ["/portal/read/5/"])),
        act("a literal # grants nothing", "actions", "p", "/pam/read/5/", "account", "SG-ACCESS-STRING-MISSING", add("/roles/r/access_control", ["/pam/read/#/"])),
        act("a collection by its name", "actions", "p", "/certificates/collections/read/", "collection:five", None, add("/roles/r/access_control", ["/certificates/collections/read/5/"])),
        act("a container by its name", "actions", "p", "/certificate_stores/read/", "container:five", None, add("/roles/r/access_control", ["/certificate_stores/read/5/"])),
        act("a collection by another id", "actions", "p", "/certificates/collections/read/", "6", "SG-ACCESS-STRING-MISSING", add("/roles/r/access_control", ["/certificates/collections/read/5/"])),
        act("strings never sign for the scope system", "actions", "sys", "/code_signing/signers/sign/5/", "account", "SG-SYSTEM-SCOPE", add("/roles/r/access_control", ["/"])),
    ]
    return vectors


def infisical():
    vectors = []
    roles = table("infisical-roles.json")
    members = lambda kind, role: add(f"/{kind}", [{"user": "p", "role": role}])
    rights = sorted({right for held in roles["signer_roles"].values() for right in held} - {"read", "request", "sign", "revoke"})
    for role, held in roles["signer_roles"].items():
        for right in rights:
            reason = None if right in held else "SG-ROLE-MISSING"
            vectors.append(act(f"signer {role}: {right}", "signer", "p", right, "signer:s", reason, members("signers/s/members", role)))
    for common, allowed in {"read": ["administrator", "operator", "auditor"], "request": ["administrator", "operator"],
                            "revoke": ["administrator"], "suspend": ["administrator"], "unsuspend": ["administrator"],
                            "modify": ["administrator"], "approve": ["administrator", "operator"]}.items():
        for role in roles["signer_roles"]:
            vectors.append(act(f"signer {role}: {common}", "signer", "p", common, "signer:s",
                               None if role in allowed else "SG-ROLE-MISSING", members("signers/s/members", role)))
    for role, held in roles["application_roles"].items():
        for right in sorted({right for held in roles["application_roles"].values() for right in held}):
            # Only assigned members see an application's certificates; all of them do.
            reason = None if right in held or right == "view_certificates" else "SG-ROLE-MISSING"
            vectors.append(act(f"application {role}: {right}", "signer", "p", right, "application:app", reason, members("applications/app/members", role)))
    for right in roles["product_roles"]["product_admin"]:
        vectors.append(act(f"product_admin: {right}", "signer", "p", right, "product", None, add("/product_roles", {"product_admin": ["p"]})))
        vectors.append(act(f"product_member: {right}", "signer", "p", right, "product", "SG-ROLE-MISSING", add("/product_roles", {"product_member": ["p"]})))
    member = add("/product_roles", {"product_member": ["p"]})
    for right, on, path in [("operate_within_assigned_applications", "application:app", "applications/app/members"),
                            ("operate_within_assigned_signers", "signer:s", "signers/s/members")]:
        vectors.append(act(f"product_member: {right}", "signer", "p", right, on, None, member, members(path, "operator")))
        vectors.append(act(f"product_member: {right} without the product role", "signer", "p", right, on, "SG-ROLE-MISSING", members(path, "operator")))
    vectors.append(act("not assigned: no certificates", "signer", "p", "view_certificates", "application:app", "SG-ROLE-MISSING", add("/product_roles", {"product_admin": ["p"]})))
    vectors.append(act("no role on the signer of a key pair", "signer", "p", "sign", "keypair:k", "SG-NOT-A-MEMBER"))
    vectors.append(act("a hidden signer is none", "signer", "p", "read", "signer:s", "SG-OBJECT-UNKNOWN"))
    return vectors


SIGNER = {
    "schema": "signgate.policy/1", "id": "vectors",
    "users": {**users("p", "q"), "ci": {"kind": "service_user", "os_user": "ci", "credentials": [
        {"sha256": "11" * 32, "expires": "2026-12-31T00:00:00Z"}, {"sha256": "22" * 32, "expires": "2026-01-01T00:00:00Z"},
        {"sha256": "33" * 32, "disabled": True}]}},
    "groups": {"g": {"members": ["q", "group:inner"]}, "inner": {"members": ["user:ci"]}},
    "applications": {"app": {}},
    "keypairs": {"k": {"public_key": KEY, "token": "t"}},
    "signers": {"s": {"keypair": "k"}},
}


def signer():
    member = lambda role, who="p": add("/signers/s/members", [{"user": who, "role": role}])
    yes = member("operator")
    vectors = [
        sign("an operator signs", "signer", "p", "s", None, yes),
        sign("an administrator signs", "signer", "p", "s", None, member("administrator")),
        sign("an auditor never signs", "signer", "p", "s", "SG-AUDITOR", member("auditor")),
        sign("roles add up", "signer", "p", "s", None, add("/signers/s/members", [{"user": "p", "role": "auditor"}, {"user": "p", "role": "operator"}])),
        sign("by a group", "signer", "q", "s", None, add("/signers/s/members", [{"group": "g", "role": "operator"}])),
        sign("by a group in a group", "signer", "ci", "s", None, add("/signers/s/members", [{"group": "g", "role": "operator"}])),
        sign("nobody's member sees nothing", "signer", "p", "s", "SG-SIGNER-UNKNOWN"),
        sign("a signer that is not there", "signer", "p", "none", "SG-SIGNER-UNKNOWN", yes),
        sign("a product admin without a role", "signer", "p", "s", "SG-PRODUCT-ADMIN", add("/product_roles", {"product_admin": ["p"]})),
        sign("a product admin with a role", "signer", "p", "s", None, yes, add("/product_roles", {"product_admin": ["p"]})),
        sign("a product member without a role", "signer", "p", "s", "SG-SIGNER-UNKNOWN", add("/product_roles", {"product_member": ["p"]})),
        sign("an application gives no right on a signer", "signer", "p", "s", "SG-SIGNER-UNKNOWN", add("/applications/app", {"members": [{"user": "p", "role": "admin"}], "keypairs": ["k"]})),
        sign("somebody disabled", "signer", "p", "s", "SG-PRINCIPAL-DISABLED", yes, add("/users/p/disabled", True)),
        sign("nobody", "signer", None, "s", "SG-NO-IDENTITY", yes),
        sign("a valid service token", "signer", "ci", "s", None, member("operator", "ci"), token="11" * 32),
        sign("an expired service token", "signer", "ci", "s", "SG-CREDENTIAL-EXPIRED", member("operator", "ci"), token="22" * 32),
        sign("a disabled service token", "signer", "ci", "s", "SG-CREDENTIAL-DISABLED", member("operator", "ci"), token="33" * 32),
        sign("somebody else's service token", "signer", "p", "s", "SG-PRINCIPAL-UNKNOWN", yes, token="11" * 32),
        sign("a mechanism of another key", "signer", "p", "s", "SG-MECHANISM-NOT-ALLOWED", yes, mechanism="CKM_RSA_PKCS"),
        sign("a weak hash", "signer", "p", "s", "SG-DIGEST-WEAK", yes, hash="sha1"),
        sign("a hash of the wrong length", "signer", "p", "s", "SG-DATA-LENGTH", yes, digest="00" * 31),
        sign("a profile of another kind of key", "signer", "p", "s", "SG-MECHANISM-NOT-ALLOWED", yes, add("/keypair_profiles", {"rsa": {"key_types": ["rsa"]}}), add("/keypairs/k/profile", "rsa")),
        sign("a profile of longer keys", "signer", "p", "s", "SG-KEY-SIZE", yes, add("/keypair_profiles", {"long": {"min_bits": 384}}), add("/keypairs/k/profile", "long")),
        sign("a profile of other hashes", "signer", "p", "s", "SG-DIGEST-NOT-ALLOWED", yes, add("/keypair_profiles", {"h": {"allowed_digests": ["sha512"]}}), add("/keypairs/k/profile", "h")),
        sign("a profile that fits", "signer", "p", "s", None, yes, add("/keypair_profiles", {"fit": {"key_types": ["ec"], "min_bits": 256, "max_bits": 384, "allowed_mechanisms": ["CKM_ECDSA"], "allowed_digests": ["sha256"]}}), add("/keypairs/k/profile", "fit")),
        sign("the scope system, whatever role", "signer", "p", "s", "SG-SYSTEM-SCOPE", yes, add("/users/p/scope", "system")),
        sign("an author may sign", "signer", "p", "s", None, yes, add("/users/p/policy_keys", ["key"])),
        sign("an author may not sign by the rule", "signer", "p", "s", "SG-POLICY-AUTHOR", yes, add("/users/p/policy_keys", ["key"]), add("/separation_of_duties", ["author_may_not_sign"])),
        sign("the rule keeps only authors away", "signer", "p", "s", None, yes, add("/users/q/policy_keys", ["key"]), add("/separation_of_duties", ["author_may_not_sign"])),
        sign("approval steps without a grant", "signer", "p", "s", "SG-APPROVAL-REQUIRED", yes, add("/signers/s/approval_policy", {"steps": [{"approvers": ["user:q"], "required_approvals": 1}]})),
        sign("approval steps that are only observed", "signer", "p", "s", None, yes, add("/signers/s/observe_only", True), add("/signers/s/approval_policy", {"steps": [{"approvers": ["user:q"], "required_approvals": 1}]})),
        sign("a place that fits", "signer", "p", "s", None, yes, add("/signers/s/where", {"hosts": ["build-1"]}), caller={"hostname": "build-1", "os_user": "p"}),
        sign("another host", "signer", "p", "s", "SG-WRONG-PLACE", yes, add("/signers/s/where", {"hosts": ["build-1"]}), caller={"hostname": "build-2", "os_user": "p"}),
        sign("a host that is not seen", "signer", "p", "s", "SG-WRONG-PLACE", yes, add("/signers/s/where", {"hosts": ["build-1"]})),
        sign("a program by name", "signer", "p", "s", None, yes, add("/signers/s/where", {"applications": [{"name": "jarsigner"}]}), caller={"application": "/usr/bin/jarsigner"}),
        sign("a program by hash", "signer", "p", "s", None, yes, add("/signers/s/where", {"applications": [{"sha256": "ab" * 32}]}), caller={"application": "/x", "application_sha256": "ab" * 32}),
        sign("a program with another hash", "signer", "p", "s", "SG-WRONG-PLACE", yes, add("/signers/s/where", {"applications": [{"name": "x", "sha256": "ab" * 32}]}), caller={"application": "/x", "application_sha256": "cd" * 32}),
        sign("a file that is named", "signer", "p", "s", None, yes, add("/signers/s/where", {"artifact_digests": ["ab" * 32]}), artifact="ab" * 32),
        sign("another file", "signer", "p", "s", "SG-WRONG-ARTIFACT", yes, add("/signers/s/where", {"artifact_digests": ["ab" * 32]}), artifact="cd" * 32),
        sign("a file that is not shown", "signer", "p", "s", "SG-WRONG-ARTIFACT", yes, add("/signers/s/where", {"artifact_digests": ["ab" * 32]})),
        sign("another user of the system", "signer", "p", "s", "SG-WRONG-PLACE", yes, add("/signers/s/where", {"os_users": ["q"]}), caller={"os_user": "p"}),
        sign("a wrong place that is only observed", "signer", "p", "s", None, yes, add("/signers/s/observe_only", True), add("/signers/s/where", {"hosts": ["build-1"]})),
        sign("observing never softens a role", "signer", "p", "s", "SG-AUDITOR", member("auditor"), add("/signers/s/observe_only", True)),
        sign("a rate that is kept", "signer", "p", "s", None, yes, add("/signers/s/rate", {"per_hour": 3}), last_hour=2),
        sign("a rate that is reached", "signer", "p", "s", "SG-RATE-REACHED", yes, add("/signers/s/rate", {"per_hour": 3}), last_hour=3),
        sign("a day that fits", "signer", "p", "s", None, yes, add("/signers/s/when", {"days": ["mon"]})),
        sign("another day", "signer", "p", "s", "SG-WRONG-TIME", yes, add("/signers/s/when", {"days": ["tue", "sun"]})),
        sign("an hour that fits in its zone", "signer", "p", "s", None, yes, add("/signers/s/when", {"hours": "14:00-15:00", "zone": "Europe/Berlin"})),
        sign("the same hour in UTC", "signer", "p", "s", "SG-WRONG-TIME", yes, add("/signers/s/when", {"hours": "14:00-15:00"})),
        sign("a revoked key pair by the list", "signer", "p", "s", "SG-KEYPAIR-REVOKED", yes, add("/revocations", [{"keypair": "k"}])),
        sign("a test key pair in its thirty days", "signer", "p", "s", None, yes, add("/keypairs/k/category", "test"), add("/keypairs/k/created", "2026-05-03T12:00:00Z")),
        sign("a test key pair after its thirty days", "signer", "p", "s", "SG-TEST-TOO-OLD", yes, add("/keypairs/k/category", "test"), add("/keypairs/k/created", "2026-05-02T12:00:00Z")),
        sign("a production key pair has no such end", "signer", "p", "s", None, yes, add("/keypairs/k/created", "2020-05-02T12:00:00Z")),
    ]
    for status in ["active", "pending", "failed", "disabled", "expired"]:
        vectors.append(sign(f"a signer that is {status}", "signer", "p", "s", None if status == "active" else "SG-SIGNER-NOT-ACTIVE", yes, add("/signers/s/status", status)))
    for status, reason in {"online": None, "offline": "SG-RELEASE-REQUIRED", "suspended": "SG-KEYPAIR-SUSPENDED", "revoked": "SG-KEYPAIR-REVOKED"}.items():
        vectors.append(sign(f"a key pair that is {status}", "signer", "p", "s", reason, yes, add("/keypairs/k/status", status)))
    return vectors + infisical()


ACCOUNT = {
    "schema": "signgate.policy/1", "id": "vectors",
    "users": users("p", "q", "stranger"),
    "groups": {"g": {"members": ["q"]}},
    "teams": {"t": {"members": ["group:g"]}},
    "roles": {"signing": {"permissions": ["sign", "view_keypair"]}, "viewing": {"permissions": ["view_keypair"]}},
    "assignments": [{"role": "signing", "user": "p"}, {"role": "signing", "group": "g"}],
    "keypairs": {"k": {"public_key": KEY, "token": "t", "governed_by": ["account"]}},
    "signers": {"s": {"keypair": "k", "id": 5}},
}


def account():
    to_p = add("/keypairs/k/allowed_users", ["p"])
    vectors = [
        sign("assigned to the user", "account", "p", "s", None, to_p),
        sign("assigned to a group", "account", "q", "s", None, add("/keypairs/k/allowed_user_groups", ["g"])),
        sign("assigned to a team", "account", "q", "s", None, add("/keypairs/k/team", "t")),
        sign("open to all", "account", "p", "s", None, add("/keypairs/k/access", "open")),
        sign("open, but without the permission", "account", "stranger", "s", "SG-SIGNER-UNKNOWN", add("/keypairs/k/access", "open")),
        sign("seen, but without sign", "account", "stranger", "s", "SG-PERMISSION-MISSING", add("/keypairs/k/access", "open"), add("/assignments/-", {"role": "viewing", "user": "stranger"})),
        sign("assigned to nobody", "account", "p", "s", "SG-SIGNER-UNKNOWN"),
        sign("manage_keypair sees and never signs", "account", "p", "s", "SG-NOT-ASSIGNED", add("/roles/signing/permissions/-", "manage_keypair")),
        sign("a team that is over", "account", "q", "s", "SG-TEAM-EXPIRED", add("/keypairs/k/team", "t"), add("/teams/t/expires", "2026-06-01T12:00:00Z")),
        sign("a team that is not over yet", "account", "q", "s", None, add("/keypairs/k/team", "t"), add("/teams/t/expires", "2026-06-01T12:00:01Z")),
        sign("somebody else's team", "account", "p", "s", "SG-SIGNER-UNKNOWN", add("/keypairs/k/team", "t")),
        sign("scope system", "account", "p", "s", "SG-SYSTEM-SCOPE", add("/keypairs/k/access", "open"), add("/users/p/scope", "system")),
        sign("a role of the scope system", "account", "p", "s", "SG-PERMISSION-VOID", to_p, add("/roles/signing/scope", "system")),
        sign("a role of the scope system beside another", "account", "p", "s", None, to_p, add("/roles/viewing/scope", "system"), add("/assignments/-", {"role": "viewing", "user": "p"})),
        sign("Admin (SS) alone", "account", "stranger", "s", "SG-PERMISSION-MISSING", add("/keypairs/k/access", "open"), add("/assignments/-", {"role": "Admin (SS)", "user": "stranger"})),
        sign("two models, both permit", "account", "p", "s", None, to_p, add("/keypairs/k/governed_by", ["signer", "account"]), add("/signers/s/members", [{"user": "p", "role": "operator"}])),
        sign("two models, the signer model says no", "account", "p", "s", "SG-AUDITOR", to_p, add("/keypairs/k/governed_by", ["account", "signer"]), add("/signers/s/members", [{"user": "p", "role": "auditor"}])),
        sign("two models, the account model says no", "account", "p", "s", "SG-PERMISSION-MISSING", to_p, add("/keypairs/k/governed_by", ["signer", "account"]), add("/signers/s/members", [{"user": "p", "role": "operator"}]), add("/roles/signing/permissions", ["view_keypair"])),
        sign("both say no: the first named gives the reason", "account", "p", "s", "SG-AUDITOR", to_p, add("/keypairs/k/governed_by", ["signer", "account"]), add("/signers/s/members", [{"user": "p", "role": "auditor"}]), add("/roles/signing/permissions", ["view_keypair"])),
        sign("both say no, named the other way round", "account", "p", "s", "SG-PERMISSION-MISSING", to_p, add("/keypairs/k/governed_by", ["account", "signer"]), add("/signers/s/members", [{"user": "p", "role": "auditor"}]), add("/roles/signing/permissions", ["view_keypair"])),
        sign("an earlier check comes before an earlier model", "account", "p", "s", "SG-AUDITOR", add("/keypairs/k/governed_by", ["account", "signer"]), add("/signers/s/members", [{"user": "p", "role": "auditor"}]), add("/roles/signing/permissions/-", "manage_keypair")),
        sign("seen by one model only", "account", "p", "s", "SG-SIGNER-UNKNOWN", to_p, add("/keypairs/k/governed_by", ["signer", "account"])),
        sign("all three models", "account", "p", "s", None, to_p, add("/keypairs/k/governed_by", ["signer", "account", "access_control"]), add("/signers/s/members", [{"user": "p", "role": "operator"}]), add("/roles/signing/access_control", ["/code_signing/signers/sign/5/"])),
        sign("all three models, no string", "account", "p", "s", "SG-SIGNER-UNKNOWN", to_p, add("/keypairs/k/governed_by", ["signer", "account", "access_control"]), add("/signers/s/members", [{"user": "p", "role": "operator"}])),
    ]
    for status, reason in {"online": None, "offline": "SG-RELEASE-REQUIRED", "suspended": "SG-KEYPAIR-SUSPENDED", "revoked": "SG-KEYPAIR-REVOKED"}.items():
        vectors.append(sign(f"status {status}", "account", "p", "s", reason, to_p, add("/keypairs/k/status", status)))
    return vectors


def access_control():
    policy = {
        "schema": "signgate.policy/1", "id": "vectors", "users": users("p"), "groups": {"g": {"members": ["p"]}},
        "roles": {"r": {"access_control": []}}, "assignments": [{"role": "r", "user": "p"}],
        "keypairs": {"k": {"public_key": KEY, "token": "t", "governed_by": ["access_control"]}},
        "signers": {"s": {"keypair": "k", "id": 5}, "nameless": {"keypair": "k"}},
    }
    give = lambda *texts: add("/roles/r/access_control", list(texts))
    vectors = []
    for text, on_five, on_nameless in [
        ("/", None, None), ("/code_signing/", None, None), ("/code_signing/signers/", None, None), ("/code_signing/signers/sign/", None, None),
        ("/code_signing/signers/sign/5/", None, "SG-SIGNER-UNKNOWN"), ("code_signing/signers/sign/5", None, "SG-SIGNER-UNKNOWN"),
        ("/CODE_SIGNING/Signers/Sign/5/", None, "SG-SIGNER-UNKNOWN"), ("/code_signing/signers/sign/55/", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"),
        ("/code_signing/signers/sign/05/", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"), ("/code_signing/signers/sign/#/", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"),
        ("/code_signing/signers/read/5/", "SG-ACCESS-STRING-MISSING", "SG-SIGNER-UNKNOWN"), ("/code_signing/signers/approve/", "SG-ACCESS-STRING-MISSING", "SG-ACCESS-STRING-MISSING"),
        ("/code_signing/signers/request/5/", "SG-ACCESS-STRING-MISSING", "SG-SIGNER-UNKNOWN"), ("/code_signing/signers/suspend/5/", "SG-ACCESS-STRING-MISSING", "SG-SIGNER-UNKNOWN"),
        ("/code_signing/signers/modify/5/", "SG-ACCESS-STRING-MISSING", "SG-SIGNER-UNKNOWN"), ("/code_signing/releases/", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"),
        ("/certificates/collections/private_key/read/", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"), ("/certificates/", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"),
        ("Certificates: Recover", "SG-SIGNER-UNKNOWN", "SG-SIGNER-UNKNOWN"),
    ]:
        vectors.append(sign(f"{text} on signer 5", "access_control", "p", "s", on_five, give(text)))
        vectors.append(sign(f"{text} on a signer without id", "access_control", "p", "nameless", on_nameless, give(text)))
    sign_5 = give("/code_signing/signers/sign/5/")
    vectors += [
        sign("by a group", "access_control", "p", "s", None, sign_5, add("/assignments", [{"role": "r", "group": "g"}])),
        sign("assigned to nobody", "access_control", "p", "s", "SG-SIGNER-UNKNOWN", sign_5, add("/assignments", [])),
        sign("scope system", "access_control", "p", "s", "SG-SYSTEM-SCOPE", sign_5, add("/users/p/scope", "system")),
        sign("by a permission set", "access_control", "p", "s", None, add("/permission_sets", {"set": {"access_control": ["/code_signing/signers/sign/5/"]}}), add("/roles/r/permission_sets", ["set"])),
    ]
    for status, reason in {"online": None, "offline": "SG-RELEASE-REQUIRED", "suspended": "SG-KEYPAIR-SUSPENDED", "revoked": "SG-KEYPAIR-REVOKED"}.items():
        vectors.append(sign(f"status {status}", "access_control", "p", "s", reason, sign_5, add("/keypairs/k/status", status)))
    return policy, vectors


RELEASES = {
    "schema": "signgate.policy/1", "id": "vectors",
    "users": {**users("p", "q", "alice", "bob", "carol"), "bot": {"kind": "service_user", "os_user": "bot"}},
    "groups": {"g": {"members": ["q"]}}, "teams": {"t": {"members": ["p"], "required_approvals": 2}},
    "roles": {
        "signing": {"permissions": ["sign"], "access_control": ["/code_signing/signers/sign/"]},
        "requesting": {"permissions": ["request_release"], "access_control": ["/code_signing/releases/request/"]},
        "approving": {"permissions": ["approve_release"], "access_control": ["/code_signing/releases/approve/"]},
        "scanning": {"permissions": ["run_threat_detection_scans"]}},
    "assignments": [{"role": "signing", "user": "p"}, {"role": "signing", "user": "q"}, {"role": "requesting", "user": "carol"},
                    {"role": "approving", "user": "alice"}, {"role": "approving", "user": "bob"}, {"role": "approving", "user": "carol"},
                    {"role": "scanning", "user": "carol"}],
    "keypairs": {"k": {"public_key": KEY, "token": "t", "governed_by": ["account"], "status": "offline", "access": "open"}},
    "signers": {"s": {"keypair": "k", "id": 5, "members": [{"user": "p", "role": "operator"}]}},
    "releases": {"r": {"version": "1.0", "type": "offline", "id": 3, "keypairs": ["k"], "participants": ["user:p", "group:g"],
                       "starts": "2026-06-01T08:00:00Z", "ends": "2026-06-01T18:00:00Z", "max_signings": 10, "store_id": "store-1",
                       "requested_by": "carol", "required_approvals": 1,
                       "approvals": [{"approver": "alice", "approved_at": "2026-05-30T08:00:00Z"}]}},
}


def releases():
    r = "/releases/r"
    bob = add(r + "/approvals/-", {"approver": "bob", "approved_at": "2026-05-30T09:00:00Z"})
    two = add(r + "/required_approvals", 2)
    case = lambda name, reason, *changes, **attempt: sign(name, "releases", attempt.pop("principal", "p"), "s", reason, *changes, **attempt)
    approved = "SG-RELEASE-NOT-APPROVED"
    by = lambda who, at="2026-05-30T08:00:00Z": add(r + "/approvals", [{"approver": who, "approved_at": at}])
    digest = lambda byte: [byte * 32]
    report = lambda build, byte: {"build": build, "digests": digest(byte)}
    scan = {"evidence": "ab" * 32, "result": "passed", "run_by": "carol"}
    online = add("/keypairs/k/status", "online")
    models = lambda *names: add("/keypairs/k/governed_by", list(names))
    vectors = [
        case("an approved release", None), case("a participant by a group", None, principal="q"),
        case("no release", "SG-RELEASE-REQUIRED", remove(r)),
        case("a release of another key pair", "SG-RELEASE-REQUIRED", add("/keypairs/other", {"public_key": OTHER_KEY, "token": "t"}), add(r + "/keypairs", ["other"])),
        case("a rejected release", "SG-RELEASE-REQUIRED", add(r + "/status", "rejected")),
        case("a closed release", "SG-RELEASE-REQUIRED", add(r + "/status", "closed")),
        case("no approval", approved, add(r + "/approvals", [])),
        case("one of two approvals", approved, two), case("two of two approvals", None, two, bob),
        case("the requester does not approve his own", approved, by("carol")),
        case("the requester may not request", approved, add("/roles/requesting/permissions", ["view_release"])),
        case("an approver without the permission", approved, by("p")),
        case("an approver who lost the permission", approved, add("/roles/approving/permissions", ["view_release"])),
        case("an approver who is disabled", approved, add("/users/alice/disabled", True)),
        case("a service user does not approve", approved, by("bot"), add("/assignments/-", {"role": "approving", "user": "bot"})),
        case("an approval that is still to come", approved, by("alice", "2026-06-01T12:00:01Z")),
        case("an approval of this moment", None, by("alice", "2026-06-01T12:00:00Z")),
        case("the team of the key pair asks for two", approved, add("/keypairs/k/team", "t")),
        case("the team of the key pair has two", None, add("/keypairs/k/team", "t"), bob),
        case("no participant", "SG-RELEASE-NOT-PARTICIPANT", add(r + "/participants", ["user:q"])),
        case("before the window", "SG-RELEASE-WINDOW", now="2026-06-01T07:59:59Z"),
        case("at the start of the window", None, now="2026-06-01T08:00:00Z"),
        case("at the end of the window", "SG-RELEASE-WINDOW", now="2026-06-01T18:00:00Z"),
        case("the participant comes before the window", "SG-RELEASE-NOT-PARTICIPANT", add(r + "/participants", []), now="2026-06-01T07:00:00Z"),
        case("the last signature", None, used=9), case("none left", "SG-RELEASE-EXHAUSTED", used=10),
        case("another ledger", "SG-RELEASE-WRONG-LEDGER", store_id="store-2"), case("no ledger", "SG-RELEASE-WRONG-LEDGER", store_id=None),
        case("two builds agree", None, add(r + "/comparison", {"builds": 2, "reports": [report("a", "ab"), report("b", "ab")]})),
        case("one build twice is one", "SG-RELEASE-NOT-COMPARED", add(r + "/comparison", {"builds": 2, "reports": [report("a", "ab"), report("a", "ab")]})),
        case("two builds differ", "SG-RELEASE-NOT-COMPARED", add(r + "/comparison", {"builds": 2, "reports": [report("a", "ab"), report("b", "cd")]})),
        case("two of three agree and two are wanted", None, add(r + "/comparison", {"builds": 2, "reports": [report("a", "ab"), report("b", "cd"), report("c", "ab")]})),
        case("two of three agree and three are wanted", "SG-RELEASE-NOT-COMPARED", add(r + "/comparison", {"builds": 3, "reports": [report("a", "ab"), report("b", "cd"), report("c", "ab")]})),
        case("no reports", "SG-RELEASE-NOT-COMPARED", add(r + "/comparison", {"builds": 2})),
        case("a scan that passed", None, add(r + "/threat_scan", scan)),
        case("no scan", "SG-RELEASE-NOT-SCANNED", add(r + "/threat_scan", {})),
        case("a scan that failed", "SG-RELEASE-NOT-SCANNED", add(r + "/threat_scan", {**scan, "result": "failed"})),
        case("a scan without evidence", "SG-RELEASE-NOT-SCANNED", add(r + "/threat_scan", {"result": "passed", "run_by": "carol"})),
        case("a scan by somebody without the permission", "SG-RELEASE-NOT-SCANNED", add(r + "/threat_scan", {**scan, "run_by": "alice"})),
        case("an online release for an offline key pair", "SG-RELEASE-TYPE", add(r + "/type", "online")),
        case("a test release for a production key pair", "SG-RELEASE-TYPE", add(r + "/type", "test")),
        case("a test release for a test key pair", None, add(r + "/type", "test"), add("/keypairs/k/category", "test"), add("/keypairs/k/created", "2026-05-20T00:00:00Z")),
        case("online without a release", None, online, remove(r)),
        case("online outside the window of its release", None, online, add(r + "/type", "online"), now="2026-06-01T19:00:00Z"),
        case("online in the window of its release", None, online, add(r + "/type", "online")),
        case("online, another than the participants", "SG-RELEASE-NOT-PARTICIPANT", online, add(r + "/type", "online"), add(r + "/participants", [])),
        case("online, no signature left", "SG-RELEASE-EXHAUSTED", online, add(r + "/type", "online"), used=10),
        case("online, not approved", approved, online, add(r + "/type", "online"), add(r + "/approvals", [])),
        case("online beside an offline release", None, online, add(r + "/participants", [])),
        case("suspended comes before the release", "SG-KEYPAIR-SUSPENDED", add("/keypairs/k/status", "suspended")),
        case("a participant may approve", None, by("alice"), add(r + "/participants/-", "user:alice")),
        case("a participant may not approve by the rule", approved, by("alice"), add(r + "/participants/-", "user:alice"), add("/separation_of_duties", ["operator_may_not_approve"])),
        case("by strings: approved", None, models("access_control")),
        case("by strings: an approver with the permission alone", approved, models("access_control"), add("/roles/approving/access_control", [])),
        case("by strings: the id of the release", None, models("access_control"), add("/roles/approving/access_control", ["/code_signing/releases/approve/3/"])),
        case("by strings: another release", approved, models("access_control"), add("/roles/approving/access_control", ["/code_signing/releases/approve/33/"])),
        case("by both: the permission is missing", approved, models("account", "access_control"), add("/roles/approving/permissions", [])),
        case("by both: the string is missing", approved, models("account", "access_control"), add("/roles/approving/access_control", [])),
        case("by both", None, models("account", "access_control")),
        case("signer alone: either right will do", None, models("signer"), add("/roles/approving/permissions", [])),
        case("signer alone: neither right", approved, models("signer"), add("/roles/approving/permissions", []), add("/roles/approving/access_control", [])),
        case("observing never softens a release", approved, add("/signers/s/observe_only", True), add(r + "/approvals", [])),
    ]
    vectors = [vector if vector["change"] is None else {**vector, "change": [one for one in vector["change"]]} for vector in vectors]
    for vector in vectors:
        # An empty list of permissions is refused; a role without any is one without the member.
        vector["change"] = [remove(one["path"]) if one.get("value") == [] and one["path"].endswith("/permissions") else one for one in vector["change"]]
    for action, role in [("request", "carol"), ("approve", "alice")]:
        vectors.append(act(f"{action}: held", "releases", role, action, "release:r", None))
        vectors.append(act(f"{action}: not held", "releases", "q", action, "release:r", "SG-PERMISSION-MISSING"))
        vectors.append(act(f"{action}: by the string", "releases", role, action, "release:r", None, models("access_control")))
        vectors.append(act(f"{action}: no string", "releases", "q", action, "release:r", "SG-ACCESS-STRING-MISSING", models("access_control")))
    vectors.append(act("read: held", "releases", "q", "read", "release:r", None, add("/roles/signing/permissions/-", "view_release")))
    vectors.append(act("read: not held", "releases", "q", "read", "release:r", "SG-PERMISSION-MISSING"))
    return vectors


if __name__ == "__main__":
    write("actions.json", "Every permission, string and pair: held, not held, and at its limits.", {"actions": ACTIONS}, permissions() + strings())
    write("signer.json", "The model signer: roles, status, places, hours, applications and the product.", {"signer": SIGNER}, signer())
    write("account.json", "The model account, alone and beside others.", {"account": ACCOUNT}, account())
    policy, vectors = access_control()
    write("access_control.json", "The model access_control.", {"access_control": policy}, vectors)
    write("releases.json", "Releases: what an offline key pair signs in.", {"releases": RELEASES}, releases())
