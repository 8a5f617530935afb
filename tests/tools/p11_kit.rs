//! p11-kit between the tool and the gate: the tool loads p11-kit's client, the gate runs in p11-kit's server, whose stderr
//! the tool's user never sees. What was refused there, `signgate last` asks the gate itself.

use crate::{
    demo::Demo,
    tool::{Need, p11_kit_client},
};
use std::{
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// `p11-kit server` in front of the demo's gate, stopped at the end of the test.
struct Server {
    process: Child,
    socket: PathBuf,
}

impl Server {
    fn start(demo: &Demo) -> Server {
        let socket = demo.path("work/socket");
        let mut command = demo.command("p11-kit");
        command.args(["server", "--foreground", "--provider", demo.exported("SIGNGATE_MODULE"), "--name"]);
        command.arg(&socket).arg("pkcs11:").env("XDG_RUNTIME_DIR", demo.path("work"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server { process, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.socket.exists() {
            assert!(Instant::now() < deadline, "p11-kit's server made no socket");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_refusal_behind_p11_kit_is_told_by_signgate_last() {
    let Some(demo) = Demo::new("a_refusal_behind_p11_kit_is_told_by_signgate_last", &[Need::Opensc, Need::P11Kit])
    else {
        return;
    };
    let client = p11_kit_client().unwrap();
    let server = Server::start(&demo);
    let address = format!("unix:path={}", server.socket.display());
    let last = || {
        let mut command = demo.command(env!("CARGO_BIN_EXE_signgate"));
        command.args(["last", "--module"]).arg(&client).env("P11_KIT_SERVER_ADDRESS", &address);
        demo.run(&mut command)
    };
    let sign = |signer: &str| {
        let mut command = demo.command("pkcs11-tool");
        command.arg("--module").arg(&client).args(["--token-label", signer, "--login", "--pin"]);
        command.arg(demo.exported("SIGNGATE_PIN")).args(["--sign", "-m", "SHA256-RSA-PKCS", "-i", "data", "-o", "sig"]);
        demo.run(command.env("P11_KIT_SERVER_ADDRESS", &address))
    };
    sign("demo-rsa").succeeded();
    last().said("nothing of yours was refused");
    let refused = sign("demo-approval").failed();
    assert!(!refused.stderr.contains("SG-"), "the tool's user sees no line of the gate here: {refused:?}");
    let told = last();
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.stdout.contains("demo-approval  SG-APPROVAL-REQUIRED"), "{told:?}");
}
