//! C_Initialize to C_Finalize: arguments, order, broken configurations, forks, and what a thousand rounds leave behind.
//! Source: PKCS#11 3.1, section 5.4.

use crate::{
    answers, call, here,
    support::{
        child::{Child, Stage, gate, stage},
        folder::{Folder, demo},
        module::{Module, text},
        names,
        sign::sha256_rsa,
        tokens,
    },
};
use cryptoki_sys::*;
use nix::libc;
use std::{
    ffi::c_void,
    fs,
    os::unix::fs::PermissionsExt,
    ptr,
    sync::OnceLock,
    time::{Duration, Instant},
};

unsafe extern "C" fn create(_: *mut *mut c_void) -> CK_RV {
    CKR_OK
}

unsafe extern "C" fn on_mutex(_: *mut c_void) -> CK_RV {
    CKR_OK
}

fn arguments(callbacks: [bool; 4], flags: CK_FLAGS, reserved: bool) -> CK_C_INITIALIZE_ARGS {
    let [new, free, lock, unlock] = callbacks;
    CK_C_INITIALIZE_ARGS {
        CreateMutex: new.then_some(create),
        DestroyMutex: free.then_some(on_mutex),
        LockMutex: lock.then_some(on_mutex),
        UnlockMutex: unlock.then_some(on_mutex),
        flags,
        pReserved: if reserved { ptr::dangling_mut::<u8>().cast() } else { ptr::null_mut() },
    }
}

fn initialize(module: &Module, mut arguments: CK_C_INITIALIZE_ARGS) -> crate::support::code::Answer {
    call!(module, C_Initialize(ptr::from_mut(&mut arguments).cast()))
}

#[test]
fn all_mutex_callbacks_or_none_and_any_flags_are_taken() {
    gate(here!(), demo, |child| {
        for callbacks in [[false; 4], [true; 4]] {
            for flags in [0, CKF_LIBRARY_CANT_CREATE_OS_THREADS, CKF_OS_LOCKING_OK, 3] {
                answers!(
                    initialize(&child.module, arguments(callbacks, flags, false)),
                    CKR_OK,
                    "{callbacks:?} {flags}"
                );
                answers!(child.module.finalize(), CKR_OK);
            }
        }
    });
}

#[test]
fn some_mutex_callbacks_without_the_others_are_a_bad_argument() {
    gate(here!(), demo, |child| {
        for which in 1..15u8 {
            let callbacks = [0, 1, 2, 3].map(|bit| which & (1 << bit) != 0);
            answers!(initialize(&child.module, arguments(callbacks, 0, false)), CKR_ARGUMENTS_BAD, "{callbacks:?}");
            answers!(child.module.finalize(), CKR_CRYPTOKI_NOT_INITIALIZED);
        }
    });
}

#[test]
fn what_is_reserved_is_ignored_at_the_beginning() {
    gate(here!(), demo, |child| {
        answers!(initialize(&child.module, arguments([false; 4], 0, true)), CKR_OK);
    });
}

#[test]
fn a_second_beginning_and_a_second_end_are_told_apart() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.finalize(), CKR_CRYPTOKI_NOT_INITIALIZED);
        answers!(module.initialize(), CKR_OK);
        answers!(module.initialize(), CKR_CRYPTOKI_ALREADY_INITIALIZED);
        answers!(call!(module, C_Finalize(ptr::dangling_mut::<u8>().cast())), CKR_ARGUMENTS_BAD);
        answers!(call!(module, C_GetInfo(&mut CK_INFO::default())), CKR_OK, "still initialised");
        answers!(module.finalize(), CKR_OK);
        answers!(module.finalize(), CKR_CRYPTOKI_NOT_INITIALIZED);
    });
}

/// These four answer without C_Initialize.
const ALWAYS: [&str; 4] = ["C_Initialize", "C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"];

fn nothing_is_initialised(module: &Module) {
    for (name, function) in names::of_3_2(module.list_3_2()) {
        if !ALWAYS.contains(&name) {
            let seen = names::call_with_words(function, [0; 10]);
            assert_eq!(seen, CKR_CRYPTOKI_NOT_INITIALIZED, "{name}");
        }
    }
}

#[test]
fn before_the_beginning_and_after_the_end_every_function_says_so() {
    gate(here!(), demo, |child| {
        nothing_is_initialised(&child.module);
        answers!(child.module.initialize(), CKR_OK);
        answers!(child.module.finalize(), CKR_OK);
        nothing_is_initialised(&child.module);
    });
}

#[test]
fn the_module_says_what_it_is() {
    gate(here!(), demo, |child| {
        answers!(child.module.initialize(), CKR_OK);
        let mut info = CK_INFO { flags: 99, ..CK_INFO::default() };
        answers!(call!(child.module, C_GetInfo(&mut info)), CKR_OK);
        assert_eq!((info.cryptokiVersion.major, info.flags), (2, 0));
        assert_eq!(text(&info.manufacturerID), "signgate");
        let CK_INFO { libraryDescription: description, .. } = info;
        let description = text(&description);
        assert!(description.contains("advisory") && description.contains("self-conf"), "{description}");
        answers!(call!(child.module, C_GetInfo(ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

/// p11-kit begins and ends twice per connection.
#[test]
fn a_beginning_is_cheap_and_leaves_nothing_behind() {
    gate(here!(), demo, |child| {
        child.folder.edit_configuration(|text| text.replace("libsofthsm2.so", "no-such-module.so"));
        fs::remove_file(child.folder.path("policy.bundle")).expect("a policy to remove");
        let before = entries(&child.folder);
        let started = Instant::now();
        for _ in 0..200 {
            answers!(child.module.initialize(), CKR_OK);
            answers!(child.module.finalize(), CKR_OK);
        }
        let one = started.elapsed() / 200;
        assert!(one < Duration::from_millis(5), "a beginning and an end take {one:?}");
        assert_eq!(entries(&child.folder), before, "files came into being");
    })
    .inspect(|seen| seen.is_quiet());
}

fn entries(folder: &Folder) -> Vec<String> {
    let mut found = Vec::new();
    for name in [".", "state", "grants", "requests"] {
        let inside = fs::read_dir(folder.path(name)).expect("a folder");
        found.extend(inside.map(|entry| format!("{name}/{}", entry.expect("an entry").file_name().display())));
    }
    found.sort();
    found
}

fn signs(module: &Module, label: &str) {
    let session = module.open(module.slot(label)).expect("a session");
    let key = module.private_key(session);
    let signature = module.sign_once(session, &sha256_rsa(), key, b"in a life").expect("a signature");
    assert_eq!(signature.len(), 384);
    answers!(module.close(session), CKR_OK);
}

#[test]
fn a_thousand_rounds_leave_no_descriptor_no_thread_and_no_growing_memory() {
    gate(here!(), demo, |child| {
        let round = |with_signature: bool| {
            answers!(child.module.initialize(), CKR_OK);
            assert_eq!(child.module.slots().len(), 3);
            if with_signature {
                signs(&child.module, "demo-rsa");
            }
            answers!(child.module.finalize(), CKR_OK);
        };
        round(true);
        round(false);
        let (descriptors, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
        let memory = resident();
        for number in 0..1000 {
            round(number % 50 == 0);
        }
        assert_eq!(count("/proc/self/fd"), descriptors, "open descriptors");
        assert_eq!(count("/proc/self/task"), threads, "threads");
        let grown = resident().saturating_sub(memory);
        assert!(grown < 16 << 20, "the process grew by {grown} bytes");
    });
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).expect("a folder of the kernel's").count()
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("the kernel's account of memory");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

#[test]
fn nothing_is_open_and_no_thread_runs_before_the_beginning() {
    gate(here!(), demo, |child| {
        let descriptors: Vec<_> = fs::read_dir("/proc/self/fd")
            .expect("descriptors")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.starts_with(child.folder.root()))
            .collect();
        assert_eq!(descriptors, Vec::<std::path::PathBuf>::new());
        let threads = count("/proc/self/task");
        answers!(child.module.initialize(), CKR_OK);
        signs(&child.module, "demo-rsa");
        assert_eq!(count("/proc/self/task"), threads, "the module started a thread");
    });
}

#[test]
fn the_code_stays_mapped_when_the_library_is_closed() {
    gate(here!(), demo, |_| {
        let mapped = || {
            let maps = fs::read_to_string("/proc/self/maps").expect("the memory map");
            maps.contains("libsigngate_pkcs11.so")
        };
        assert!(mapped());
        // SAFETY: no pointer into the library is used afterwards; a second handle is closed, then the first.
        unsafe {
            let again = libloading::os::unix::Library::new(crate::support::module::built_module()).expect("the module");
            let handle = again.into_raw();
            assert_eq!(libc::dlclose(handle), 0);
            assert_eq!(libc::dlclose(handle), 0);
        }
        assert!(mapped(), "a thread that outlives the library would run into nothing");
    });
}

/// C_Finalize of the module under test, for a handler that gets no argument.
static FINALIZE: OnceLock<unsafe extern "C" fn(*mut c_void) -> CK_RV> = OnceLock::new();

extern "C" fn end_the_module() {
    if let Some(finalize) = FINALIZE.get() {
        // SAFETY: NULL is what the function takes, at any time.
        unsafe { finalize(ptr::null_mut()) };
    }
}

#[test]
fn an_exit_handler_that_ends_the_module_when_the_hsms_has_gone_harms_nothing() {
    gate(here!(), demo, |child| {
        FINALIZE.set(child.module.list().C_Finalize.expect("C_Finalize")).expect("set once");
        // SAFETY: a handler of this program. Registered before the HSM's module is loaded, it runs after that one's own.
        assert_eq!(unsafe { libc::atexit(end_the_module) }, 0);
        answers!(child.module.initialize(), CKR_OK);
        signs(&child.module, "demo-rsa");
    });
}

pub fn in_fork(body: impl FnOnce()) {
    // SAFETY: the child runs on the one thread that called fork, and ends with _exit.
    in_child_of(|| unsafe { libc::fork() }, body);
}

fn in_child_of(fork: impl FnOnce() -> libc::pid_t, body: impl FnOnce()) {
    let child = fork();
    assert!(child >= 0, "a fork");
    if child == 0 {
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the forked child failed");
}

#[test]
fn a_forked_child_is_not_initialised_until_it_says_so_and_then_signs_itself() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        let session = module.open(module.slot("demo-rsa")).expect("a session");
        let key = module.private_key(session);
        answers!(module.sign_init(session, &sha256_rsa(), key), CKR_OK);
        in_fork(|| nothing_is_initialised(module));
        in_fork(|| {
            answers!(module.initialize(), CKR_OK);
            answers!(module.state(session), CKR_SESSION_HANDLE_INVALID, "the parent's session");
            signs(module, "demo-rsa");
            answers!(module.finalize(), CKR_OK);
        });
        // The parent's operation is where it was.
        assert_eq!(module.sign(session, b"after the fork").expect("a signature").len(), 384);
        in_fork(|| {
            answers!(module.initialize(), CKR_OK);
            signs(module, "demo-rsa");
        });
        signs(module, "demo-rsa");
    });
}

/// No handler of pthread_atfork runs for such a child.
#[test]
fn a_child_made_past_the_c_library_is_not_initialised_either() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        signs(module, "demo-rsa");
        let clone = || {
            // SAFETY: as fork(2) does it: a copy of the memory, a signal at its end, no stack and no numbers asked for.
            let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
            libc::pid_t::try_from(pid).expect("a process id")
        };
        in_child_of(clone, || nothing_is_initialised(module));
        signs(module, "demo-rsa");
    });
}

#[test]
fn a_fork_of_a_fork_stands_on_its_own() {
    gate(here!(), demo, |child| {
        let module = &child.module;
        answers!(module.initialize(), CKR_OK);
        in_fork(|| {
            answers!(module.initialize(), CKR_OK);
            assert_eq!(module.slots().len(), 3);
            in_fork(|| {
                nothing_is_initialised(module);
                answers!(module.initialize(), CKR_OK);
                signs(module, "demo-rsa");
            });
            signs(module, "demo-rsa");
        });
        signs(module, "demo-rsa");
    });
}

/// What is done to a folder, and what to call it.
type Breakage = (&'static str, fn(&Folder));

/// After each of them this stage says one line, with this word.
fn each_says(test: &'static str, breakages: &[Breakage], stage: &Stage, word: &str) {
    if tokens::is_missing(test) {
        return;
    }
    for (what, break_it) in breakages {
        let folder = demo(test);
        break_it(&folder);
        let seen = stage.run(&folder);
        assert_eq!(seen.lines().len(), 1, "{what}: {:?}", seen.lines());
        assert!(seen.lines()[0].contains(word), "{what}: no `{word}`: {:?}", seen.lines());
    }
}

#[test]
fn an_unusable_configuration_is_a_device_error_with_one_line() {
    let breakages: &[Breakage] = &[
        ("absent", |folder| fs::remove_file(folder.path("signgate.toml")).expect("a file")),
        ("empty", |folder| folder.replace("signgate.toml", b"")),
        ("no TOML", |folder| folder.replace("signgate.toml", b"mode = \"advis")),
        ("not UTF-8", |folder| folder.replace("signgate.toml", b"mode = \"\xff\"")),
        ("an unknown key", |folder| folder.edit_configuration(|text| format!("polizy = \"/x\"\n{text}"))),
        ("a wrong type", |folder| folder.edit_configuration(|text| text.replace("mode = \"advisory\"", "mode = 7"))),
        ("an unknown mode", |folder| folder.edit_configuration(|text| text.replace("advisory", "permissive"))),
        ("writable for all", |folder| {
            let mode = fs::Permissions::from_mode(0o666);
            fs::set_permissions(folder.path("signgate.toml"), mode).expect("a mode");
        }),
        ("a folder", |folder| {
            fs::remove_file(folder.path("signgate.toml")).expect("a file");
            fs::create_dir(folder.path("signgate.toml")).expect("a folder");
        }),
    ];
    let stage = stage(here!(), "gate", |child| {
        answers!(child.module.initialize(), CKR_DEVICE_ERROR);
        nothing_is_initialised(&child.module);
    });
    // The line names the file.
    each_says(here!(), breakages, &stage, "signgate.toml");
}

#[test]
fn without_any_configuration_the_line_says_where_to_put_one() {
    let seen = gate(here!(), demo, |child: &Child| {
        // What SIGNGATE_CONFIG names does not exist any more.
        fs::remove_dir_all(child.folder.root()).expect("a folder to remove");
        answers!(child.module.initialize(), CKR_DEVICE_ERROR);
    });
    if let Some(seen) = seen {
        assert_eq!(seen.lines().len(), 1, "{:?}", seen.lines());
    }
}

#[test]
fn a_configuration_that_was_mended_is_taken_without_reloading_the_module() {
    gate(here!(), demo, |child| {
        let good = child.folder.text("signgate.toml");
        child.folder.replace("signgate.toml", b"nonsense");
        answers!(child.module.initialize(), CKR_DEVICE_ERROR);
        child.folder.replace("signgate.toml", good.as_bytes());
        answers!(child.module.initialize(), CKR_OK);
        signs(&child.module, "demo-rsa");
    });
}

#[test]
fn a_broken_policy_lets_the_module_begin_and_list_nothing() {
    let breakages: &[Breakage] = &[
        ("absent", |folder| fs::remove_file(folder.path("policy.bundle")).expect("a file")),
        ("empty", |folder| folder.replace("policy.bundle", b"")),
        ("no JSON", |folder| folder.publish("{\"schema\":")),
        ("an unknown member", |folder| folder.edit_policy(|policy| policy["signors"] = serde_json::json!({}))),
        ("twice the same member", |folder| {
            folder.publish(&folder.policy().to_string().replacen('{', "{\"id\":\"twice\",", 1));
        }),
        ("not signed", |folder| {
            let bundle = fs::read(folder.path("policy.bundle")).expect("a bundle");
            let text = String::from_utf8(bundle).expect("text");
            folder.replace("policy.bundle", text.replace("\"sig\": \"", "\"sig\": \"00").as_bytes());
        }),
        ("writable for the group", |folder| {
            let mode = fs::Permissions::from_mode(0o660);
            fs::set_permissions(folder.path("policy.bundle"), mode).expect("a mode");
        }),
    ];
    let stage = stage(here!(), "gate", |child| {
        answers!(child.module.initialize(), CKR_OK);
        assert_eq!(child.module.slots(), Vec::<CK_SLOT_ID>::new());
        for slot in 0..8 {
            answers!(child.module.open(slot), CKR_SLOT_ID_INVALID);
        }
        answers!(child.module.finalize(), CKR_OK);
    });
    // The line has a reason.
    each_says(here!(), breakages, &stage, "SG-");
}
