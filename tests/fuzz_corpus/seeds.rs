//! The seeds of the corpus: for each target inputs that are taken for what they claim to be, and some that nearly are. Made
//! by the product's own writers where it has them, with keys that nobody trusts, the same in every run.

use crate::targets::{bundle, id_token, pen, sshsig};
use jiff::Timestamp;
use serde_json::{Value, json};
use signgate_pkcs11::{
    audit::checkpoint::Checkpoint,
    ledger::{DecisionId, Kind, Record},
    policy::{
        algorithm::{Hash, Mechanism},
        public_key::PublicKey,
    },
    trust::{
        Role, Seen, TrustedState,
        approval::{GrantFile, NAMESPACE, SignedApproval, SignedRejection, approval_text, rejection_text},
        archive::Archive,
        author::{self, Signatories},
        json::Json,
    },
};
use std::collections::BTreeMap;

/// Target, name of the file, input.
type Seed = (&'static str, String, Vec<u8>);

pub fn all() -> Vec<Seed> {
    let makers: [fn() -> Vec<Seed>; 16] = [
        calls,
        approvals,
        bundles,
        checkpoints,
        configurations,
        digest_infos,
        texts,
        documents,
        id_tokens,
        mechanisms,
        policies,
        public_keys,
        records,
        sign_metadata,
        ssh,
        templates,
    ];
    makers.into_iter().flat_map(|make| make()).collect()
}

fn seeds(target: &'static str, inputs: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seed> {
    inputs.into_iter().enumerate().map(|(number, data)| (target, format!("seed-{number:02}.bin"), data)).collect()
}

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

/// Opens a session on each slot in turn, logs in, looks for the key, and tries every mechanism.
fn calls() -> Vec<Seed> {
    let mechanisms = u8::try_from(Mechanism::ALL.len()).expect("a few");
    let begun = |slot: u8, credential: u8| vec![0, slot, 0, 3, 0, 0, credential, 0, 6, 0];
    let mut inputs: Vec<Vec<u8>> = (0..8)
        .flat_map(|slot| [(slot, 0), (slot, 3)])
        .map(|(slot, credential)| {
            let mut input = begun(slot, credential);
            for mechanism in 0..mechanisms {
                input.extend([7, 0, 0, mechanism, 1, 32, 0]);
                // C_Sign: four bytes of data where the mechanism takes a message, else what it takes.
                input.extend([9, 0, 1, 0, 4, 0, b'd', b'a', b't', b'a', 4, 0]);
            }
            input
        })
        .collect();
    for slot in 0..8 {
        // In parts, with a question for the length and a small buffer before the end.
        let mut input = begun(slot, 0);
        for mechanism in [2, 12, 15] {
            input.extend([7, 0, 0, mechanism, 1, 32, 0, 11, 0, 3, 0, 1, 2, 3, 0, 11, 0, 2, 0, 4, 5, 0]);
            input.extend([12, 0, 4, 15, 12, 0, 0, 0, 12, 0, 4, 0]);
        }
        inputs.push(input);
        // Begun, then logged out, cancelled, closed, ended; and on with what is left.
        let sign = [9, 0, 1, 0, 4, 0, b'd', b'a', b't', b'a', 4, 0];
        for between in [&[5, 0][..], &[13, 0, 0, 8, 0, 0, 0, 0, 0, 0], &[2, 0, 0], &[15, 0x5a], &[14, 0, 0, 3]] {
            let mut input = begun(slot, 0);
            input.extend([7, 0, 0, 12, 1, 32, 0]);
            input.extend(between);
            input.extend(sign);
            input.extend(begun(slot, 0));
            input.extend([7, 0, 0, 12, 1, 32, 0]);
            input.extend(sign);
            inputs.push(input);
        }
    }
    seeds("abi_calls", inputs)
}

fn statement() -> Value {
    json!({
        "expires_at": "2026-06-08T00:00:00Z", "grantee": "ci", "justification": "release 1.2", "key": "00".repeat(32),
        "kind": "request", "policy_id": "acme", "requested_at": "2026-06-01T00:00:00Z", "requester": "ci",
        "scope": { "digests": [{ "hash": "sha256", "uses": 2, "value": "ab".repeat(32) }], "hostname": "build-1" },
        "signer": "approved", "signings": 5, "store_id": "store-1", "window": 14400
    })
}

fn approvals() -> Vec<Seed> {
    let empty = json!({ "statement": statement(), "approvals": [] }).to_string();
    let mut file = GrantFile::read(empty.as_bytes()).expect("a request");
    let id = file.statement.id();
    let at = moment("2026-06-01T10:00:00Z");
    for (step, approver) in ["alice", "bob"].into_iter().enumerate() {
        let text = approval_text(&id, step, approver, at, &[7; 32]);
        file.approvals.push(SignedApproval {
            step,
            approver: approver.to_owned(),
            approved_at: at,
            previous: [7; 32],
            signature: pen::approve(7, NAMESPACE, &text),
        });
    }
    let approved = file.write();
    let rejection = rejection_text(&id, "carol", at, "no\u{202e}");
    file.rejections.push(SignedRejection {
        approver: "carol".to_owned(),
        rejected_at: at,
        reason: "no\u{202e}".to_owned(),
        signature: pen::approve(7, NAMESPACE, &rejection),
    });
    let twice =
        String::from_utf8(approved.clone()).expect("text").replacen("\"signer\"", "\"signer\": \"x\", \"signer\"", 1);
    let odd = json!({ "statement": statement(), "a\nb": 1 }).to_string();
    let array = json!({ "statement": ["2026-06-08T00:00:00Z", "ci"] }).to_string();
    let inputs = [empty.into_bytes(), approved, file.write(), twice.into(), odd.into(), array.into()];
    seeds("approval", inputs)
}

/// The three signed files below the usual root, for a policy.
fn metadata(policy: &[u8], version: u64) -> [Json; 3] {
    let late = moment("2026-09-01T00:00:00Z");
    let sign = |part: &Json| author::sign(part.clone(), &[pen::author()]);
    let targets = author::targets(version, late, policy);
    let snapshot = author::snapshot(version, late, version, &sign(&targets));
    let issued = moment("2026-06-01T00:00:00Z");
    let timestamp = author::timestamp(version, issued, moment("2026-06-07T00:00:00Z"), version, &sign(&snapshot));
    [timestamp, snapshot, targets]
}

fn bundles() -> Vec<Seed> {
    let (mut inputs, mut archives) = (Vec::new(), Vec::new());
    for (number, policy) in (1..).zip(bundle::POLICIES) {
        let parts = metadata(policy, number);
        let files = parts.each_ref().map(|part| author::sign(part.clone(), &[pen::author()]));
        let archive = Archive {
            roots: vec![(1, &bundle::root().0)],
            timestamp: &files[0],
            snapshot: (None, &files[1]),
            targets: (None, &files[2]),
            policy: (None, policy),
        };
        archives.push(archive.write());
        let [timestamp, snapshot, targets] = parts.map(|part| part.pretty().into_bytes());
        let documents = [Vec::new(), timestamp, snapshot, targets, policy.to_vec()];
        inputs.push([&[1], &documents.join(bundle::BETWEEN)[..]].concat());
    }
    // A root of its own with consistent snapshots, and one with a threshold that one key does not reach.
    let signatories = |threshold| Signatories { keys: vec![pen::author().public().clone()], threshold };
    for (threshold, consistent) in [(1, true), (2, false), (0, false)] {
        let roles: BTreeMap<Role, Signatories> = Role::ALL.map(|role| (role, signatories(threshold))).into();
        let root = author::root(1, moment("2030-01-01T00:00:00Z"), &roles).pretty();
        let root = if consistent { root.replace("snapshot\": false", "snapshot\": true") } else { root };
        let policy = bundle::POLICIES[0];
        let [timestamp, snapshot, targets] = metadata(policy, 3).map(|part| part.pretty().into_bytes());
        let documents = [root.into_bytes(), timestamp, snapshot, targets, policy.to_vec()];
        inputs.push([&[1], &documents.join(bundle::BETWEEN)[..]].concat());
    }
    inputs.extend(archives.iter().map(|archive| [&[0], &archive[..]].concat()));
    let mut foreign = archives[0].clone();
    foreign[156] = b'2';
    let mut archived = archives.clone();
    // The first file once more.
    let double = [&archives[0][..512 + bundle::root().0.len().next_multiple_of(512)], &archives[0]].concat();
    let timestamps = archives[0].windows(23).position(|name| name == b"metadata/timestamp.json").expect("a timestamp");
    let length = 512 + Archive::read(&archives[0]).expect("an archive").timestamp.len().next_multiple_of(512);
    let (before, after) = archives[0].split_at(timestamps);
    let twice = [before, &after[..length], after].concat();
    archived.extend([foreign, archives[0][..1024].to_vec(), vec![0; 1024], double, twice]);
    let seen = |version| Some(Seen { version, content: [7; 32] });
    let state = TrustedState {
        root: seen(1),
        timestamp: seen(u64::MAX),
        snapshot: seen(3),
        targets: seen(4),
        online_keys: Some([1; 32]),
        time: Some(moment("2026-06-01T12:00:00.123456789Z")),
        revoked: ["rq-0123456789abcdef".to_owned(), "ab".repeat(32), "a\n\u{202e}".to_owned()].into(),
    };
    let whole = state.to_bytes();
    let half = whole[..whole.len() / 2].to_vec();
    let unknown = String::from_utf8(whole.clone()).expect("text").replacen("\"root\"", "\"ro\\not\"", 1);
    let states = seeds("trusted_state", [whole, TrustedState::default().to_bytes(), half, unknown.into()]);
    [seeds("bundle", inputs), seeds("archive", archived), states].concat()
}

fn checkpoints() -> Vec<Seed> {
    let checkpoint = Checkpoint::new("fuzz", 17, [3; 32]);
    let signed = checkpoint.note(Some(pen::notary()));
    let key = pen::notary().verifier("fuzz");
    let inputs = [
        signed.clone(),
        checkpoint.note(None),
        format!("{signed}\n--\n{key}"),
        signed.replacen("\n17\n", "\n017\n", 1),
        signed.replacen("\n\n", "\nextension\n\n", 1),
        signed.replace('\n', "\r\n"),
        format!("a\n1\nAAAA\n\n\n--\n{key}x"),
    ];
    seeds("checkpoint", inputs.map(String::into_bytes))
}

fn sign_metadata() -> Vec<Seed> {
    let good = "\u{feff}{\"signer\": \"mobile-release\"}\r\n";
    let inputs = [good.to_owned(), good.replace('}', ", \"ecdsa_signature\": \"der\"}"), good.replace("sign", "sing")];
    seeds("sign_metadata", inputs.map(String::into_bytes))
}

fn configurations() -> Vec<Seed> {
    let advisory = "mode = \"advisory\"\npolicy = \"policy.bundle\"\n\
        trust_root = \"601D98ada02b62659a667938f2f5b82dbdf1decbcd78395e9e8f993a7871439b\"\nstate = \"/var/lib/signgate\"\n\
        grants = \"grants\"\nrequests = \"/r\"\nstore_id = \"s-1\"\nverify = \"first\"\nlist_before_login = false\nlog = \"log\"\n\
        [backend]\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\n\
        [backend.tokens.prod]\nlabel = \"production\"\npin_file = \"prod.pin\"\n\
        [backend.tokens.test]\nserial = \"0123\"\npin_env = \"TEST_PIN\"\n\
        [identity]\nsources = [\"os_user\", \"service_token\"]\n[audit]\ndurability = \"normal\"\n\
        [sync]\nsource = \"https://example.org/policy.bundle\"\ntimeout = \"30s\"\n";
    let enforced = advisory
        .replace("mode = \"advisory\"", "mode = \"enforced\"\nlisten = \"/run/signgate.sock\"")
        .replace("pin_env = \"TEST_PIN\"", "pin_file = \"test.pin\"");
    let inputs = [
        advisory.to_owned(),
        enforced.clone(),
        enforced.replace("listen = \"/run/signgate.sock\"\n", ""),
        advisory.replace("mode = ", "\"mo\\u001bde\\n\" = 1\nmode = "),
        advisory.replace("\"first\"", "\"\\u202eal\\nways\""),
        advisory.replace("tokens.prod", "tokens.\"pr\\nod\""),
        advisory.replace("serial = \"0123\"", "label = \"x\"\nserial = \"0123\""),
        advisory.replace("store_id = \"s-1\"", "store_id = \"a \\\"quoted\\\" \\\\ \\u00e9 one\""),
    ];
    seeds("configuration", inputs.map(String::into_bytes))
}

fn digest_infos() -> Vec<Seed> {
    let mut inputs: Vec<Vec<u8>> =
        Hash::ALL.iter().map(|hash| [hash.digest_info_prefix(), &vec![7; hash.length()]].concat()).collect();
    let good = inputs[1].clone();
    inputs.push([&good[..], &[0]].concat());
    inputs.push(good[1..].to_vec());
    // Without parameters; with a long form of the length; with a hash that is not known.
    let bare = [&[0x30, 0x2f, 0x30, 0x0b], &good[4..15], &good[17..]].concat();
    let long = [&[0x30, 0x81, 0x31], &good[2..]].concat();
    let mut unknown = good;
    unknown[14] = 4;
    inputs.extend([bare, long, unknown, vec![]]);
    seeds("digest_info", inputs)
}

fn pieces(texts: &[&str]) -> Vec<u8> {
    let piece = |text: &&str| [&u16::try_from(text.len()).expect("short").to_le_bytes()[..], text.as_bytes()].concat();
    texts.iter().flat_map(piece).collect()
}

fn texts() -> Vec<Seed> {
    let hostile = [
        "ci",
        "user\n{\"kind\":\"intent\"}",
        "=cmd|' /C calc'!A0",
        "/usr/bin/java",
        "ab\u{1b}[2J",
        "jarsigner -storepass x",
        "root\u{202e}",
        "host|with\\bars=and\rreturns",
        "g1",
        "g,2",
        "\"g3\"",
        "\u{feff}g4",
    ];
    let invisible = ["\u{200b}\u{200f}\u{2066}", "\u{ad}\u{61c}", "+1", "-1", "@x", "\t", "\u{85}\u{2028}\u{2029}"];
    let long = "x".repeat(3000);
    let inputs =
        [pieces(&hostile), pieces(&invisible), pieces(&[&long, "", &long]), vec![], pieces(&["-", "--pin=1", "-p"])];
    seeds("escaping", inputs)
}

fn documents() -> Vec<Seed> {
    let inputs: [&[u8]; 9] = [
        br#" { "b" : [ 1 , -2 , null ] , "a" : { } } "#,
        br#"["\"", "\\", "\n", "\u00e9", "\ud83d\ude00", 18446744073709551615, -9223372036854775808, true]"#,
        br#"{"a":1,"\u0061":2}"#,
        b"[1.5]",
        b"1e3",
        b"\"\xff\"",
        b"\"\x01\"",
        b"{\"a\nb\":1.0}",
        b"[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]",
    ];
    seeds("json", inputs.map(<[u8]>::to_vec))
}

fn id_tokens() -> Vec<Seed> {
    let at = moment(id_token::NOW).as_second();
    let claims = |id: &str| {
        json!({ "iss": id_token::ISSUER, "aud": "signgate", "exp": at + 600, "nbf": at - 10, "iat": at - 10, "jti": id,
            "sub": "repo:acme/app", "repository_id": "42", "environment": "release" })
        .to_string()
    };
    let header = r#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#;
    let mut inputs = vec![[&[0], &id_token::signed(header, &claims("a"))[..]].concat()];
    for (header, claims) in [
        (header, claims("b")),
        (r#"{"alg":"none","kid":"ed"}"#, claims("c")),
        (r#"{"alg":"EdDSA","kid":"ed","crit":["x"]}"#, claims("d")),
        (header, claims("e").replacen("\"aud\"", "\"aud\":\"x\",\"aud\"", 1)),
        (header, claims("f").replace("\"signgate\"", "[\"other\",\"signgate\"]")),
        (header, claims("g").replace("ci.example", "ci.example.evil")),
        (header, claims("h").replace("release", "a\\nb\\u202e")),
        (header, claims("i").replace(&(at + 600).to_string(), &(at - 600).to_string())),
    ] {
        inputs.push(format!("\u{1}{header}\n{claims}").into_bytes());
    }
    seeds("id_token", inputs)
}

/// Signer (EC, Ed25519, RSA), number in the target's list, where the parameter is, and the parameter.
fn mechanisms() -> Vec<Seed> {
    let word = |number: u64| cryptoki_sys::CK_ULONG::try_from(number).expect("a word").to_ne_bytes().to_vec();
    let pss = |hash: Hash, salt: u64| [word(hash.mechanism()), word(hash.mgf()), word(salt)].concat();
    let mut inputs: Vec<Vec<u8>> = (0..24).flat_map(|number| [0, 1, 2].map(|signer| vec![signer, number, 1])).collect();
    for (number, hash, salt) in [
        (5, Hash::Sha256, 32),
        (5, Hash::Sha1, 20),
        (5, Hash::Sha512, 190),
        (5, Hash::Sha512, 191),
        (7, Hash::Sha256, 222),
        (7, Hash::Sha256, 223),
        (7, Hash::Sha384, 48),
        (9, Hash::Sha512, u64::MAX),
        (8, Hash::Sha384, 0),
    ] {
        inputs.extend([0, 1, 2].map(|how| [&[2, number, how], &pss(hash, salt)[..]].concat()));
    }
    let mixed = [word(Hash::Sha256.mechanism()), word(Hash::Sha512.mgf()), word(32)].concat();
    inputs.push([&[2, 5, 1], &mixed[..]].concat());
    inputs.push([&[2, 5, 1], &pss(Hash::Sha256, 32)[1..]].concat());
    let eddsa =
        |flag: u8, context: u64| [&[1, 16, 1, flag, 0, 0, 0, 0, 0, 0, 0], &word(context)[..], &word(0)[..]].concat();
    inputs.extend([eddsa(0, 0), eddsa(1, 0), eddsa(0, 1)]);
    seeds("mechanism", inputs)
}

fn policies() -> Vec<Seed> {
    let files = [
        include_str!("../data/decisions/signer.json"),
        include_str!("../data/decisions/account.json"),
        include_str!("../data/decisions/access_control.json"),
        include_str!("../data/decisions/releases.json"),
        include_str!("../data/decisions/actions.json"),
    ];
    let mut documents = Vec::new();
    for file in files {
        let vectors: Value = serde_json::from_str(file).expect("vectors");
        documents.extend(vectors["policies"].as_object().expect("policies").values().cloned());
    }
    let signer = documents[0].clone();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = signer.clone();
        change(&mut document);
        document
    };
    let member = json!([{ "user": "p", "role": "operator" }]);
    let changed = [
        with(&|one| one["signers"]["s"]["members"] = member.clone()),
        with(&|one| {
            one["signers"]["s"]["members"] = member.clone();
            one["signers"]["s"]["approval_policy"] = json!({ "steps": [{ "approvers": ["user:q"], "required_approvals": 1 }], "max_signings": 3, "max_window": "4h" });
        }),
        with(&|one| {
            one["signers"]["s"]["members"] = member.clone();
            one["signers"]["s"]["status"] = json!("disabled");
        }),
        with(&|one| {
            one["signers"]["s"]["members"] = member.clone();
            one["keypairs"]["k"]["status"] = json!("suspended");
            one["signers"]["s"]["observe_only"] = json!(true);
        }),
        with(&|one| {
            one["signers"]["s"]["members"] = member.clone();
            one["signers"]["s"]["where"] = json!({ "hosts": ["build-1"] });
            one["signers"]["s"]["rate"] = json!({ "per_hour": 3 });
        }),
        with(&|one| one["signers"]["s"]["a\nb\u{202e}"] = json!(1)),
        with(&|one| one["signers"]["s"]["keypair"] = json!("K")),
    ];
    documents.extend(changed);
    let mut inputs: Vec<Vec<u8>> = documents.iter().map(|document| document.to_string().into_bytes()).collect();
    let text = signer.to_string();
    inputs.push(text.replacen("\"users\":", "\"users\":{},\"users\":", 1).into());
    inputs.push(text[..text.len() / 2].into());
    inputs.push([text.as_bytes(), b" x"].concat());
    inputs.push(["[".repeat(64), "]".repeat(64)].concat().into());
    [seeds("policy", inputs.clone()), seeds("decision", inputs)].concat()
}

fn public_keys() -> Vec<Seed> {
    let p256 = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjNDzCmLAWhSt7y+Y0m6LOBghSrfk\n\
        uO0E8ye/kDIRFrsLd0O7PT4iXVPvRWFZZZeKIdKaK7hP6x+oRtGTV1lBZA==\n-----END PUBLIC KEY-----";
    let rsa = PublicKey::from_rsa(&[0xc1; 256], &[1, 0, 1]).expect("a key").spki().to_vec();
    let ed = PublicKey::from_point(&[0x06, 0x03, 0x2b, 0x65, 0x70], &[7; 32]).expect("a key").spki().to_vec();
    let ec = PublicKey::from_pem(p256).expect("a key").spki().to_vec();
    // Without the NULL, and with something else in its place: other bytes for the same key.
    let null = rsa.windows(2).position(|window| window == [5, 0]).expect("the NULL");
    let mut bare = [&rsa[..null], &rsa[null + 2..]].concat();
    bare[3] -= 2;
    bare[5] -= 2;
    let mut other = rsa.clone();
    other[null] = 4;
    let mut with_null = [&ed[..9], &[5, 0], &ed[9..]].concat();
    with_null[1] += 2;
    with_null[3] += 2;
    let mut compressed = ec.clone();
    compressed[26] = 2;
    let cut = ec[..40].to_vec();
    seeds("public_key", [p256.into(), rsa, ed, ec, bare, other, with_null, compressed, cut, b"x".to_vec()])
}

fn records() -> Vec<Seed> {
    let at = moment("2026-06-01T12:00:00.5Z");
    let mut full = Record::new(Kind::Intent, at);
    full.sequence = 7;
    full.id = Some(DecisionId::from_parts(at, [3; 16]).to_string());
    full.signer = Some("mobile-release".to_owned());
    full.detail = Some("a \"quoted\" \\ one, and\u{e9}".to_owned());
    full.approvals = vec!["alice SHA256:x".to_owned(), "bob SHA256:y".to_owned()];
    full.count = Some(9_007_199_254_740_991);
    full.self_configured = Some(true);
    let line = full.line().expect("a line");
    let short = Record::new(Kind::Created, at).line().expect("a line");
    let inputs = [
        line.clone(),
        short.clone(),
        line.replacen("\"signer\"", "\"signer\":\"x\",\"signer\"", 1),
        line.replacen('{', "{\"added\":1,", 1),
        line.replacen("mobile", "mo\\nbile\\u202e", 1),
        line.replacen("\"count\"", "\"a\\nb\"", 1),
        short.replacen("\"created\"", "{\"created\":null}", 1),
        short.replacen(',', ", ", 1),
        format!("[{}]", vec!["null"; 48].join(",")),
    ];
    seeds("record", inputs.map(String::into_bytes))
}

fn ssh() -> Vec<Seed> {
    let good = pen::approve(7, sshsig::NAMESPACE, sshsig::MESSAGE);
    let body: String = good.lines().filter(|line| !line.starts_with("-----")).collect();
    let blob = data_encoding::BASE64.decode(body.as_bytes()).expect("base64");
    let git = pen::approve(7, "git", sshsig::MESSAGE);
    let other = pen::approve(7, sshsig::NAMESPACE, b"another");
    let signatures =
        [good.clone().into(), [&[0], &blob[..]].concat(), git.into(), other.into(), good.replace('\n', "\r\n").into()];
    let key = pen::approver_blob(7);
    let line = format!("ssh-ed25519 {} alice@example.org", data_encoding::BASE64.encode(&key));
    let string = |field: &[u8]| [&u32::try_from(field.len()).expect("short").to_be_bytes()[..], field].concat();
    let touched = [&string(b"sk-ssh-ed25519@openssh.com")[..], &key[15..], &string(b"ssh:")[..]].concat();
    let keys = [
        line.clone().into_bytes(),
        [&[0], &key[..]].concat(),
        [&[0], &touched[..]].concat(),
        [&[0], &key[..], &[0]].concat(),
        line.replacen("ssh-ed25519 ", "ssh-rsa ", 1).into(),
        b"ssh-dss AAAAB3NzaC1kc3M= x".to_vec(),
    ];
    [seeds("sshsig", signatures), seeds("ssh_key", keys)].concat()
}

/// Signer, search or reading, and then attributes: kind, where the value comes from, the value.
fn templates() -> Vec<Seed> {
    let mut inputs = Vec::new();
    for signer in 0..3 {
        for kind in 0..24 {
            inputs.push(vec![signer, 1, kind, 0, 0]);
        }
        inputs.push(vec![signer, 1, 0, 0, 1, 3, 0, 1, 5, 0, 0]);
        inputs.push(vec![signer, 1, 0, 1, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        for object in 0..3 {
            let all: Vec<u8> = (0..24).flat_map(|kind| [kind, kind % 4]).collect();
            inputs.push([&[signer, 0, object], &all[..]].concat());
            inputs.push(vec![signer, 0, object, 0, 1, 3, 3, 4, 0]);
        }
        inputs.push([&[signer, 0, 0], &[3, 0].repeat(300)[..]].concat());
    }
    seeds("template", inputs)
}
