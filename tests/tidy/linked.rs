//! What the module links: nothing that starts threads or opens sockets in a tool. Read next: `../../Cargo.toml`.

use super::root;

/// Crates that start threads or open sockets.
const NOT_IN_A_TOOL: [&str; 16] = [
    "async-io",
    "async-std",
    "curl",
    "futures",
    "h2",
    "hyper",
    "mio",
    "reqwest",
    "rustls",
    "rustls-native-certs",
    "smol",
    "socket2",
    "tokio",
    "tough",
    "ureq",
    "url",
];

#[test]
fn the_module_brings_no_runtime_and_no_network_into_a_tool() {
    let tree = |features: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO"));
        command.args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none", "--format", "{p}"]);
        let output = command.args(features).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let found = |tree: &str| {
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        names.filter(|name| NOT_IN_A_TOOL.contains(name)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found(&tree(&["--no-default-features"])), [""; 0]);
    assert!(found(&tree(&[])).contains(&"ureq".to_owned()), "the list finds nothing, so it shows nothing");
}
