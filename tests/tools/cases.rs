//! The cases, written once for every tool and place. With each kind of key and mechanism the tool signs through the
//! gate, and a verifier that knows nothing of the module agrees; then it is refused for want of an approval, for its
//! caller's role, and by not seeing the signer at all. A refusal ends the tool with a non-zero code, tells the person why,
//! leaves nothing that passes for signed, and no signature was made another way: the gate's own record has none. Each
//! refusal has its control: with an approval, or with the old policy, the same command signs.
//! Must never know a tool by its name: what differs between them stands in the table. Read next: `table/mod.rs`.

use crate::{
    place::Place,
    program,
    table::{Key, Row, Shows, Tool},
    tool::Ran,
};
use serde_json::{Value, json};

/// What is signed, or put into what is signed.
const DATA: &[u8] = b"what is signed in the tests\n";

/// A tool at a place, with the folder of the case.
pub struct Case<'a> {
    tool: &'a Tool,
    place: &'a dyn Place,
    folder: String,
}

/// The whole case of a tool at a place where it works.
pub fn signs_and_is_refused(tool: &Tool, place: &dyn Place) {
    let case = Case::new(tool, place);
    for row in tool.rows.iter().filter(|row| case.works_with(row.key)) {
        case.signs(row);
    }
    let row = tool.rows.iter().find(|row| case.works_with(row.key)).expect("a row that works");
    case.is_refused_without_an_approval(row);
    case.is_refused_for_the_role(row);
    case.finds_no_hidden_signer(row);
    case.shell("", "\"$SIGNGATE\" audit verify").succeeded();
    case.stop();
}

/// What a tool says where it does not work.
pub fn fails_by_itself(tool: &Tool, place: &dyn Place, error: &str) {
    let case = Case::new(tool, place);
    let row = tool.rows.first().unwrap_or(&crate::table::NO_ROW);
    case.enter(row.key.signer());
    let ran = case.sign(row.key.signer(), row);
    assert_ne!(ran.code, Some(0), "it works after all: {ran:#?}");
    assert!(ran.stdout.contains(error) || ran.stderr.contains(error), "no `{error}` in {ran:#?}");
    case.leaves_nothing_signed(row.key.signer(), row);
    case.stop();
}

impl<'a> Case<'a> {
    /// A folder as `signgate demo` makes it.
    fn new(tool: &'a Tool, place: &'a dyn Place) -> Case<'a> {
        let name: String = tool.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = format!("{}/{name}", place.room());
        let case = Case { tool, place, folder };
        let made = place.run(place.room(), &format!("mkdir {name} && {}", case.making_a_demo()));
        assert_eq!(made.code, Some(0), "{made:#?}");
        for (file, bytes) in [
            ("data", DATA),
            ("program.exe", &program::windows()),
            ("program.efi", &program::efi()),
            ("module.ko", &program::kernel_module()),
            ("AndroidManifest.xml", &program::android_manifest()),
        ] {
            place.write(&format!("{}/{file}", case.work("")), bytes);
        }
        if tool.rsa_signers_only {
            case.publish(|policy| {
                policy["signers"]["demo-ec"]["members"] = json!([{ "user": "alice", "role": "operator" }])
            });
        }
        case
    }

    /// The demo's folder for files to sign, or what was prepared there for a signer.
    fn work(&self, signer: &str) -> String {
        let parts = [&self.folder, "work", signer];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    fn making_a_demo(&self) -> String {
        let (signgate, module) = (self.place.signgate(), self.place.module());
        format!("'{signgate}' demo --no-sign --dir '{}' --module '{module}' >/dev/null", self.folder)
    }

    fn works_with(&self, key: Key) -> bool {
        let here = self.place.distribution();
        !self.tool.cannot.iter().any(|one| one.key == Some(key) && one.distribution.is_none_or(|name| name == here))
    }

    /// Runs a script beside what was prepared for a signer, with the names that the table promises.
    fn shell(&self, signer: &str, script: &str) -> Ran {
        let Case { folder, place, .. } = self;
        let script = format!(
            "set -eu; . '{folder}/env.sh'; export SIGNGATE='{}' SIGNER='{signer}' MODULE=\"$SIGNGATE_MODULE\" \
             PIN=\"$SIGNGATE_PIN\" HOME='{folder}' URI='pkcs11:token={signer};object={signer};type=private' \
             CERT='{folder}/certs/{signer}.pem' CHAIN='{folder}/certs/{signer}-chain.pem' CA='{folder}/certs/ca.pem' \
             KEY=\"$PWD/public.pem\" P11_CFG='{folder}/tools/{signer}.p11.cfg' ENGINE_CNF='{folder}/tools/openssl.cnf' \
             LC_ALL=C.UTF-8\n{script}",
            place.signgate()
        );
        place.run(&self.work(signer), &script)
    }

    /// Makes a folder for a signer, with what the tool signs there.
    fn enter(&self, signer: &str) {
        let new =
            format!("mkdir -p {signer} && cp data program.exe program.efi module.ko AndroidManifest.xml {signer}");
        self.shell("", &new).succeeded();
        self.shell(signer, "openssl x509 -noout -pubkey -in \"$CERT\" >\"$KEY\"").succeeded();
        self.shell(signer, self.tool.prepare).succeeded();
    }

    fn sign(&self, signer: &str, row: &Row) -> Ran {
        self.shell(
            signer,
            &format!("export SIGN_WITH='{}'\nrm -f '{}'\n{}", row.sign_with, self.tool.output, self.tool.sign),
        )
    }

    fn verify(&self, signer: &str, row: &Row) -> Ran {
        let Row { sign_with, verify_with, .. } = row;
        self.shell(signer, &format!("export SIGN_WITH='{sign_with}' VERIFY_WITH='{verify_with}'\n{}", self.tool.verify))
    }

    fn signs(&self, row: &Row) {
        let signer = row.key.signer();
        self.shell("", &format!("rm -rf {signer}")).succeeded();
        self.enter(signer);
        self.leaves_nothing_signed(signer, row);
        let before = self.made().len();
        self.sign(signer, row).succeeded();
        self.verify(signer, row).succeeded();
        let made = self.made().split_off(before);
        assert!(!made.is_empty(), "the gate has recorded no signature: it came another way");
        for record in made {
            assert_eq!(record["signer"], signer, "{record}");
            let expected = row.mechanism.split(" or ").any(|mechanism| record["mechanism"] == mechanism);
            assert!(expected, "not with {}: {record}", row.mechanism);
        }
        self.shell(signer, self.tool.spoil).succeeded();
        self.leaves_nothing_signed(signer, row);
    }

    fn is_refused_without_an_approval(&self, row: &Row) {
        let signer = "demo-approval";
        let reason = match self.tool.prepare_signs {
            0 => "SG-APPROVAL-REQUIRED",
            signings => {
                self.approve(signings);
                "SG-GRANT-EXHAUSTED"
            }
        };
        self.enter(signer);
        self.is_refused(signer, row, reason);
        self.approve(10);
        self.sign(signer, row).succeeded();
        self.verify(signer, row).succeeded();
    }

    /// The caller sees the signer, and may only look.
    fn is_refused_for_the_role(&self, row: &Row) {
        let signer = row.key.signer();
        self.publish(|policy| policy["signers"][signer]["members"][0]["role"] = json!("auditor"));
        if self.tool.heeds_cka_sign {
            self.fails(signer, row);
        } else {
            self.is_refused(signer, row, "SG-AUDITOR");
        }
    }

    fn finds_no_hidden_signer(&self, row: &Row) {
        let signer = row.key.signer();
        let mut members = Value::Null;
        self.publish(|policy| {
            members = std::mem::replace(
                &mut policy["signers"][signer]["members"],
                json!([{ "user": "alice", "role": "operator" }]),
            )
        });
        let before = self.fails(signer, row);
        members[0]["role"] = json!("operator");
        self.publish(|policy| policy["signers"][signer]["members"] = members);
        self.sign(signer, row).succeeded();
        assert!(self.made().len() > before, "the control was not signed through the gate");
    }

    /// Makes no signature; returns how many were made before. Some crash after they found no key, with any module.
    fn fails(&self, signer: &str, row: &Row) -> usize {
        let before = self.made().len();
        let ran = self.sign(signer, row);
        assert_ne!(ran.code, Some(0), "{ran:#?}");
        assert_eq!(self.made().len(), before, "a signature was made");
        self.leaves_nothing_signed(signer, row);
        before
    }

    fn is_refused(&self, signer: &str, row: &Row, reason: &str) {
        let before = self.made().len();
        let ran = self.sign(signer, row);
        assert!(ran.code.is_some_and(|code| code != 0), "{ran:#?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(self.tool.says), "no `{}` in {ran:#?}", self.tool.says);
        match self.tool.shows {
            Shows::Line => {
                let start = format!("signgate: DENIED {reason} signer={signer} by=demo-ci: ");
                let lines: Vec<_> =
                    said.lines().filter_map(|line| Some(&line[line.find("signgate: DENIED")?..])).collect();
                assert!(
                    !lines.is_empty() && lines.iter().all(|line| line.starts_with(&start)),
                    "no `{start}` in {ran:#?}"
                );
                assert!(lines.iter().all(|line| line.contains(". Next: ")), "no hint in {ran:#?}");
            }
            Shows::Last => {
                assert!(!said.contains("SG-"), "the line is shown after all: {ran:#?}");
                let last = self.shell("", "\"$SIGNGATE\" last");
                assert_eq!(last.code, Some(3), "{last:#?}");
                assert!(last.stdout.contains(signer) && last.stdout.contains(reason), "no {reason} in {last:#?}");
            }
        }
        assert_eq!(self.made().len(), before, "a signature was made");
        self.leaves_nothing_signed(signer, row);
    }

    /// What is there does not pass for signed.
    fn leaves_nothing_signed(&self, signer: &str, row: &Row) {
        let verified = self.verify(signer, row);
        assert_ne!(verified.code, Some(0), "it passes for signed: {verified:#?}");
    }

    /// The intents of the signatures that the gate has recorded as released, in their order.
    fn made(&self) -> Vec<Value> {
        let listed = self.shell("", "\"$SIGNGATE\" audit list --json --limit 100000").succeeded().stdout;
        let mut records: Vec<Value> =
            listed.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        records.sort_by_key(|record| record["sequence"].as_u64());
        let released: Vec<Value> = records.iter().filter(|record| record["ending"] == "released").cloned().collect();
        let intent = |outcome: &Value| records.iter().find(|record| record["sequence"] == outcome["intent"]).cloned();
        released.iter().map(|outcome| intent(outcome).expect("each outcome has its intent")).collect()
    }

    fn approve(&self, signings: u32) {
        let script = format!(
            "id=$(\"$SIGNGATE\" request demo-approval --signings {signings} --window 1h --justification 'a test')\n\
             \"$SIGNGATE\" approve \"$id\" --key '{}/approvers/alice'",
            self.folder
        );
        self.shell("", &script).succeeded();
    }

    /// Edits the policy of the demo's administration folder and publishes it, as an administrator does.
    fn publish(&self, edit: impl FnOnce(&mut Value)) {
        let file = format!("{}/admin/policy.json", self.folder);
        let mut policy = serde_json::from_slice(&self.place.read(&file)).expect("the demo's policy");
        edit(&mut policy);
        self.place.write(&file, format!("{policy:#}\n").as_bytes());
        let folder = &self.folder;
        let publish = format!("\"$SIGNGATE\" policy publish --admin '{folder}/admin' --out '{folder}/policy.bundle'");
        self.shell("", &publish).succeeded();
    }

    /// Ends what a tool left running: GnuPG's agent goes when its folder does.
    fn stop(self) {
        self.place.run(self.place.room(), &format!("rm -rf '{}'", self.folder));
    }
}
