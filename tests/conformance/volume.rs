//! Large and many: 200 MiB at once, a hundred thousand tiny parts, and messages that can not be hashed as they come.
//! What is hashed takes no memory; what must be kept has a cap.

use crate::{
    answers,
    begun::{opened, public_key},
    call, here,
    support::{
        child::gate,
        folder::{Folder, bench, policy_for},
        module::Mechanism,
        openssl::{self, Over},
        sign::{Hash, Scheme, sha256_rsa},
    },
};
use cryptoki_sys::*;
use nix::libc;
use std::{fs, ptr};

fn folder(test: &'static str) -> Folder {
    bench(test, |bench| policy_for(bench, &["rsa", "ed25519"]))
}

/// The most memory this process has ever had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel's account");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number")
}

#[test]
fn two_hundred_mebibytes_at_once_are_hashed_without_being_copied() {
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "rsa");
        let size = 200 << 20;
        // SAFETY: a new mapping of zeros that costs no memory while it is only read.
        let zeros = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), size, libc::PROT_READ, flags, -1, 0)
        };
        assert_ne!(zeros, libc::MAP_FAILED);
        answers!(module.sign_once(session, &sha256_rsa(), key, b"warm"), CKR_OK);
        let before = peak();
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        let (mut signature, mut length) = ([0u8; 256], 256);
        let (data, size_of_data) = (zeros.cast::<u8>(), size as CK_ULONG);
        let answer = call!(module, C_Sign(session, data, size_of_data, signature.as_mut_ptr(), &mut length));
        answers!(answer, CKR_OK);
        // Reading maps the page of zeros again and again; a copy would double it.
        let grown = peak().saturating_sub(before);
        assert!(grown < 300 << 20, "{grown} bytes more");
        let hash = openssl::hash_of_zeros(Hash::Sha256, size);
        let over = Over::Value(Hash::Sha256, &hash);
        assert!(openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &over, &signature));
    });
}

#[test]
fn a_hundred_thousand_tiny_parts_are_one_message() {
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        let mut message = Vec::new();
        for number in 0..100_000u32 {
            let part = &number.to_be_bytes()[..(number % 5) as usize];
            message.extend_from_slice(part);
            answers!(module.sign_update(session, part), CKR_OK);
        }
        let signature = module.sign_final(session).expect("a signature");
        let over = Over::Message(Hash::Sha256, &message);
        assert!(openssl::verifies(&public_key(child, "rsa"), Scheme::Pkcs1, &over, &signature));
    });
}

#[test]
fn a_message_that_must_be_kept_has_a_cap() {
    gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "ed25519");
        let how = Mechanism::plain(CKM_EDDSA);
        let cap = vec![7u8; 16 << 20];
        assert_eq!(module.sign_once(session, &how, key, &cap).expect("a signature").len(), 64);
        let over = [&cap[..], &[7]].concat();
        answers!(module.sign_once(session, &how, key, &over), CKR_DATA_LEN_RANGE);
        answers!(module.sign_init(session, &how, key), CKR_OK);
        for part in cap.chunks(1 << 20) {
            answers!(module.sign_update(session, part), CKR_OK);
        }
        answers!(module.sign_update(session, &[7]), CKR_DATA_LEN_RANGE);
        answers!(module.sign_final(session), CKR_OPERATION_NOT_INITIALIZED, "the operation ended");
    });
}

#[test]
fn ten_thousand_refusals_fill_neither_the_disk_nor_the_terminal() {
    let folder = |test| {
        bench(test, |bench| {
            let mut policy = policy_for(bench, &["rsa"]);
            policy["signers"]["rsa"]["status"] = serde_json::json!("disabled");
            policy
        })
    };
    let seen = gate(here!(), folder, |child| {
        let (module, session, key) = opened(child, "rsa");
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        let before = size_of_folder(&child.folder, "state");
        for _ in 0..10_000 {
            answers!(module.sign_init(session, &sha256_rsa(), key), CKR_KEY_FUNCTION_NOT_PERMITTED);
        }
        let grown = size_of_folder(&child.folder, "state").saturating_sub(before);
        assert!(grown < 8 << 20, "the records grew by {grown} bytes");
        assert_eq!(size_of_folder(&child.folder, "requests"), 0);
    });
    if let Some(seen) = seen {
        assert!(seen.lines().len() < 200, "{} lines", seen.lines().len());
    }
}

fn size_of_folder(folder: &Folder, name: &str) -> u64 {
    let entries = fs::read_dir(folder.path(name)).expect("a folder");
    entries.map(|entry| entry.expect("an entry").metadata().map_or(0, |metadata| metadata.len())).sum()
}
