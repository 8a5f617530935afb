//! What goes wrong at which call. `FAIL=C_SignInit=0x30@2;C_Sign=hang@1;*=0x32@20-`: at its second call C_SignInit answers
//! this code; the first C_Sign never returns; from the twentieth call on, whatever it is, the HSM is gone.
//! Besides codes: `hang`, `kill` (the process dies before the call), `late-kill` (after it), `reenter` (the call makes a
//! signature through the gate that made it, if `GATE` names the gate's module). Read next: `state.rs`.

use cryptoki_sys::*;
use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Code(CK_RV),
    Hang,
    Kill,
    LateKill,
    Reenter,
}

struct Due {
    function: String,
    fault: Fault,
    from: usize,
    once: bool,
}

struct Calls {
    due: Vec<Due>,
    record: Option<String>,
    counts: HashMap<&'static str, usize>,
    all: usize,
}

static CALLS: Mutex<Option<Calls>> = Mutex::new(None);

fn locked<T>(body: impl FnOnce(&mut Calls) -> T) -> T {
    let mut guard = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(|| Calls {
        due: variable("FAIL").map(|text| parse(&text)).unwrap_or_default(),
        record: variable("RECORD"),
        counts: HashMap::new(),
        all: 0,
    }))
}

/// A variable of this module's that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(format!("SIGNGATE_BACKING_{name}")).ok().filter(|value| !value.is_empty())
}

/// Records the call and does what is due, or the real thing. No lock is held over either.
pub fn around(function: &'static str, body: impl FnOnce() -> CK_RV) -> CK_RV {
    let due = locked(|calls| {
        calls.all += 1;
        let count = calls.counts.entry(function).or_default();
        *count += 1;
        let (own, all) = (*count, calls.all);
        calls.write(function);
        let is_due = |due: &&Due| {
            let now = if due.function == "*" { all } else { own };
            (due.function == "*" || due.function == function) && (now == due.from || (now > due.from && !due.once))
        };
        calls.due.iter().find(is_due).map(|due| due.fault)
    });
    match due {
        None => body(),
        Some(Fault::Code(code)) => code,
        Some(Fault::Hang) => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        Some(Fault::Kill) => kill(),
        Some(Fault::LateKill) => {
            body();
            kill()
        }
        Some(Fault::Reenter) => {
            let codes = reenter();
            locked(|calls| calls.write(&format!("(reentered: {codes})")));
            body()
        }
    }
}

/// Whether anybody watches the calls or spoils them: then none may be left out.
pub fn observed() -> bool {
    locked(|calls| calls.record.is_some() || !calls.due.is_empty())
}

/// From here on these faults, counted from the next call.
///
/// # Safety
/// `text` is readable for `length` bytes of UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn backing_fail(text: *const u8, length: usize) {
    // SAFETY: promised by the caller.
    let text = unsafe { std::slice::from_raw_parts(text, length) };
    let due = parse(std::str::from_utf8(text).expect("faults"));
    locked(|calls| {
        calls.due = due;
        calls.all = 0;
        calls.counts.clear();
    });
}

/// How often this function was called since the faults were last told.
///
/// # Safety
/// `text` is readable for `length` bytes of UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn backing_count(text: *const u8, length: usize) -> usize {
    // SAFETY: promised by the caller.
    let text = unsafe { std::slice::from_raw_parts(text, length) };
    let count =
        |calls: &mut Calls| calls.counts.iter().find(|(name, _)| name.as_bytes() == text).map(|(_, count)| *count);
    locked(count).unwrap_or_default()
}

impl Calls {
    fn write(&self, line: &str) {
        if let Some(path) = &self.record {
            let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the record");
            // In one write: processes of one test share the file.
            file.write_all(format!("{line}\n").as_bytes()).expect("the record");
        }
    }
}

fn parse(text: &str) -> Vec<Due> {
    text.split(';').filter(|text| !text.is_empty()).map(parse_one).collect()
}

fn parse_one(text: &str) -> Due {
    let (function, rest) = text.split_once('=').expect("FAIL: FUNCTION=FAULT@CALL");
    let (fault, call) = rest.split_once('@').expect("FAIL: FUNCTION=FAULT@CALL");
    let fault = match fault {
        "hang" => Fault::Hang,
        "kill" => Fault::Kill,
        "late-kill" => Fault::LateKill,
        "reenter" => Fault::Reenter,
        code => {
            let digits = code.trim_start_matches("0x");
            Fault::Code(CK_RV::from_str_radix(digits, 16).expect("FAIL: a fault or a hexadecimal code"))
        }
    };
    let from = call.trim_end_matches('-').parse().expect("FAIL: the number of a call");
    Due { function: function.into(), fault, from, once: !call.ends_with('-') }
}

fn kill() -> ! {
    #[cfg(unix)]
    // SAFETY: a signal to this process, which nothing can catch.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL)
    };
    std::process::abort();
}

#[cfg(unix)]
type GetFunctionList = unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV;

/// Not tried on Windows.
#[cfg(windows)]
fn reenter() -> String {
    "not on Windows".to_owned()
}

/// A signature through the gate that is calling, with the first key of its first slot; the codes on the way.
#[cfg(unix)]
fn reenter() -> String {
    use libloading::os::unix::{Library, RTLD_NOW};
    let path = variable("GATE").expect("GATE: the gate's module");
    let mut codes = Vec::new();
    // SAFETY: the module is loaded already, and its functions have the types of PKCS#11.
    unsafe {
        let library = Library::open(Some(&path), RTLD_NOW | libc::RTLD_NOLOAD).expect("the gate's module is loaded");
        let mut list = std::ptr::null_mut();
        library.get::<GetFunctionList>(b"C_GetFunctionList").expect("its function list")(&raw mut list);
        let list = &*list;
        let (mut slots, mut count): ([CK_SLOT_ID; 8], CK_ULONG) = ([0; 8], 8);
        codes.push(list.C_GetSlotList.expect("C_GetSlotList")(CK_TRUE, slots.as_mut_ptr(), &raw mut count));
        let mut session = 0;
        let open = list.C_OpenSession.expect("C_OpenSession");
        codes.push(open(slots[0], CKF_SERIAL_SESSION, std::ptr::null_mut(), None, &raw mut session));
        let mut class = CKO_PRIVATE_KEY.to_ne_bytes();
        let mut template =
            CK_ATTRIBUTE { type_: CKA_CLASS, pValue: class.as_mut_ptr().cast(), ulValueLen: class.len() as CK_ULONG };
        list.C_FindObjectsInit.expect("C_FindObjectsInit")(session, &raw mut template, 1);
        let (mut key, mut found) = (0, 0);
        list.C_FindObjects.expect("C_FindObjects")(session, &raw mut key, 1, &raw mut found);
        let mut how = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: std::ptr::null_mut(), ulParameterLen: 0 };
        codes.push(list.C_SignInit.expect("C_SignInit")(session, &raw mut how, key));
        let (mut data, mut signature, mut length) = ([7u8; 32], [0u8; 64], 64);
        let sign = list.C_Sign.expect("C_Sign");
        codes.push(sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), &raw mut length));
    }
    codes.iter().map(|code| format!("{code:#x}")).collect::<Vec<_>>().join(" ")
}
