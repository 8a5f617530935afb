//! A plain TUF repository, in a folder and over HTTPS: packed into one bundle, judged like any other.

use crate::{
    machine::Machine,
    publication::{Files, Publisher},
    server::{Asked, Reply, Server},
};
use std::{collections::BTreeMap, fs};

fn serve(server: &Server, files: BTreeMap<String, Vec<u8>>) {
    server.answers(move |asked: &Asked| {
        let file = asked.path.strip_prefix("/acme/").and_then(|name| files.get(name));
        file.map_or_else(|| Reply::status(404), |bytes| Reply::good(bytes))
    });
}

fn machine_of(publisher: &Publisher, server: &Server) -> Machine {
    let source = server.url("/acme/");
    let machine = Machine::new(publisher, &format!("source = \"{source}\"\nca_file = \"ca.pem\"\nformat = \"tuf\""));
    machine.write("ca.pem", &server.authority);
    machine
}

#[test]
fn a_repository_becomes_the_bundle_of_its_files() {
    for publisher in [Publisher::new(), Publisher::with_consistent_snapshots()] {
        let server = Server::new(|_| Reply::status(500));
        let machine = machine_of(&publisher, &server);
        for version in [1, 2] {
            let files = publisher.version(version);
            serve(&server, files.repository());
            machine.takes(&files.bundle(), &format!("policy version {version}, new here"));
            machine.takes(&files.bundle(), &format!("policy version {version}, unchanged"));
        }
    }
}

#[test]
fn a_repository_in_a_folder_is_read_as_well() {
    let publisher = Publisher::new();
    let machine = Machine::new(&publisher, "source = \"published\"\nformat = \"tuf\"");
    machine.stays(4, "there is no `metadata/1.root.json`");
    let files = publisher.version(3);
    files.write_repository(&machine.path("published"));
    machine.takes(&files.bundle(), "policy version 3, new here");
    fs::remove_file(machine.path("published/metadata/snapshot.json")).unwrap();
    machine.stays(1, "there is no `metadata/snapshot.json`;");
}

#[test]
fn a_policy_that_is_here_is_not_transferred_again() {
    let publisher = Publisher::new();
    let server = Server::new(|_| Reply::status(500));
    let machine = machine_of(&publisher, &server);
    let files = publisher.version(1);
    serve(&server, files.repository());
    machine.takes(&files.bundle(), "policy version 1, new here");
    server.asked();
    // Signed anew, with the same policy.
    let files = publisher.version(2);
    serve(&server, files.repository());
    machine.takes(&files.bundle(), "policy version 2, new here");
    assert!(server.asked().iter().all(|asked| !asked.path.contains("targets/")));
}

#[test]
fn the_chain_of_roots_is_packed_whole() {
    let publisher = Publisher::new();
    let server = Server::new(|_| Reply::status(500));
    let machine = machine_of(&publisher, &server);
    let mut files = publisher.version(1);
    let second = publisher.next_root(&mut files);
    let mut repository = files.repository();
    let first = repository["metadata/1.root.json"].clone();
    repository.insert("metadata/2.root.json".to_owned(), second.clone());
    serve(&server, repository);
    machine.takes(&files.bundle_of(vec![(1, &first), (2, &second)]), "policy version 1, new here");
}

/// A good repository with one thing changed.
fn stays(change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>, &Files), words: &str) {
    let publisher = Publisher::new();
    let server = Server::new(|_| Reply::status(500));
    let machine = machine_of(&publisher, &server);
    let first = publisher.version(2);
    serve(&server, first.repository());
    machine.takes(&first.bundle(), "policy version 2, new here");
    let next = publisher.publish(3, 48, br#"{"schema":"signgate.policy/1","id":"acme","users":{}}"#);
    let mut files = next.repository();
    change(&mut files, &first);
    serve(&server, files);
    machine.stays(1, words);
}

#[test]
fn a_repository_that_does_not_hold_changes_nothing() {
    let insert = |name: &'static str, bytes: Vec<u8>| {
        move |files: &mut BTreeMap<String, Vec<u8>>, _: &Files| {
            files.insert(name.to_owned(), bytes);
        }
    };
    stays(insert("metadata/timestamp.json", b"{}".to_vec()), ": failed to parse timestamp metadata: ");
    stays(insert("metadata/timestamp.json", vec![b' '; 2 << 20]), "more than the 1048576 bytes");
    stays(insert("targets/policy.json", b"{}".to_vec()), ": hash mismatch for targets/policy.json: ");
    stays(insert("metadata/1.root.json", b"{}".to_vec()), "is not the root that the configuration trusts");
    stays(insert("metadata/2.root.json", b"{}".to_vec()), ": failed to parse root metadata: ");
    let stale = |files: &mut BTreeMap<String, Vec<u8>>, first: &Files| {
        let mut old = first.repository();
        files.insert("metadata/targets.json".to_owned(), old.remove("metadata/targets.json").unwrap());
    };
    stays(stale, ": hash mismatch for metadata/targets.json: ");
}

#[test]
fn an_older_repository_is_refused_by_the_memory_of_this_machine() {
    let publisher = Publisher::new();
    let server = Server::new(|_| Reply::status(500));
    let machine = machine_of(&publisher, &server);
    let (one, two) = (publisher.version(1), publisher.version(2));
    serve(&server, two.repository());
    machine.takes(&two.bundle(), "policy version 2, new here");
    serve(&server, one.repository());
    machine.stays(1, "SG-POLICY-ROLLED-BACK");
}

#[test]
fn a_root_that_can_not_be_fetched_is_not_one_that_does_not_exist() {
    let publisher = Publisher::new();
    let server = Server::new(|_| Reply::status(500));
    let machine = machine_of(&publisher, &server);
    let files = publisher.version(1).repository();
    server.answers(move |asked: &Asked| match asked.path.strip_prefix("/acme/") {
        Some("metadata/2.root.json") => Reply::status(503),
        Some(name) => files.get(name).map_or_else(|| Reply::status(404), |bytes| Reply::good(bytes)),
        None => Reply::status(404),
    });
    machine.stays(4, "metadata/2.root.json: the server answered 503");
}
