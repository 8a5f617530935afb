//! What a signing tool does with a PKCS#11 module, over the bare function table: the same code for the HSM's module and
//! for the gate. Nothing of the gate's own code is used here. Read next: `measure.rs`.

use cryptoki_sys as ck;
use std::{ffi::c_void, path::Path, ptr};

/// A module with a session in it, logged in, and the key found.
pub struct Client {
    list: ck::CK_FUNCTION_LIST,
    session: ck::CK_SESSION_HANDLE,
    key: ck::CK_OBJECT_HANDLE,
    mechanism: ck::CK_MECHANISM_TYPE,
}

// SAFETY: the list is a copy of function pointers and numbers; each thread has a client of its own.
unsafe impl Send for Client {}

/// Which token and key.
pub struct Wanted<'a> {
    pub label: &'a str,
    /// None: the token asks for no login.
    pub pin: Option<&'a str>,
    pub id: &'a [u8],
    /// Lists the private keys and reads the CKA_ID of each, as SunPKCS11 and libp11 do; else asks for the CKA_ID.
    pub lists: bool,
    pub mechanism: ck::CK_MECHANISM_TYPE,
}

macro_rules! call {
    ($list:expr, $function:ident($($argument:expr),*)) => {{
        let function = $list.$function.expect(stringify!($function));
        // SAFETY: the arguments are what PKCS#11 says they are.
        let code = unsafe { function($($argument),*) };
        assert_eq!(code, ck::CKR_OK, "{}", stringify!($function));
    }};
}

impl Client {
    /// From loading the module to finding the key, as a tool does it.
    pub fn open(module: &Path, wanted: &Wanted<'_>) -> Client {
        // SAFETY: a PKCS#11 module; it stays loaded.
        let list = unsafe {
            let library = libloading::Library::new(module).expect("the module");
            let get = *library
                .get::<unsafe extern "C" fn(*mut *mut ck::CK_FUNCTION_LIST) -> ck::CK_RV>(c"C_GetFunctionList")
                .expect("C_GetFunctionList");
            let mut list = ptr::null_mut();
            assert_eq!(get(&raw mut list), ck::CKR_OK);
            std::mem::forget(library);
            *list
        };
        let mut arguments = ck::CK_C_INITIALIZE_ARGS { flags: ck::CKF_OS_LOCKING_OK, ..Default::default() };
        let initialize = list.C_Initialize.expect("C_Initialize");
        // SAFETY: a complete argument structure.
        let code = unsafe { initialize((&raw mut arguments).cast()) };
        assert!(matches!(code, ck::CKR_OK | ck::CKR_CRYPTOKI_ALREADY_INITIALIZED), "C_Initialize: {code:#x}");
        Client::open_session(list, wanted)
    }

    /// The same with a module that has begun.
    pub fn open_session(list: ck::CK_FUNCTION_LIST, wanted: &Wanted<'_>) -> Client {
        let mut slots = [0; 64];
        let mut count = slots.len() as ck::CK_ULONG;
        call!(list, C_GetSlotList(ck::CK_TRUE, slots.as_mut_ptr(), &raw mut count));
        let slot = slots[..count as usize]
            .iter()
            .copied()
            .find(|slot| {
                let mut token = ck::CK_TOKEN_INFO::default();
                call!(list, C_GetTokenInfo(*slot, &raw mut token));
                String::from_utf8_lossy(&token.label).trim_end() == wanted.label
            })
            .unwrap_or_else(|| panic!("no token `{}`", wanted.label));
        let mut session = 0;
        call!(list, C_OpenSession(slot, ck::CKF_SERIAL_SESSION, ptr::null_mut(), None, &raw mut session));
        if let Some(pin) = wanted.pin {
            let login = list.C_Login.expect("C_Login");
            let mut pin = pin.as_bytes().to_vec();
            // SAFETY: the PIN and its length.
            let code = unsafe { login(session, ck::CKU_USER, pin.as_mut_ptr(), pin.len() as ck::CK_ULONG) };
            assert!(matches!(code, ck::CKR_OK | ck::CKR_USER_ALREADY_LOGGED_IN), "C_Login: {code:#x}");
        }
        let key = private_keys(&list, session, (!wanted.lists).then_some(wanted.id))
            .into_iter()
            .find(|key| !wanted.lists || id_of(&list, session, *key) == wanted.id)
            .expect("the private key");
        Client { list, session, key, mechanism: wanted.mechanism }
    }

    /// C_SignInit and C_Sign.
    #[inline]
    pub fn sign(&self, data: &[u8], signature: &mut [u8]) {
        let mut mechanism =
            ck::CK_MECHANISM { mechanism: self.mechanism, pParameter: ptr::null_mut(), ulParameterLen: 0 };
        call!(self.list, C_SignInit(self.session, &raw mut mechanism, self.key));
        let mut length = signature.len() as ck::CK_ULONG;
        let data_length = data.len() as ck::CK_ULONG;
        let data = data.as_ptr().cast_mut();
        call!(self.list, C_Sign(self.session, data, data_length, signature.as_mut_ptr(), &raw mut length));
    }
}

/// All private keys, or those with this CKA_ID.
fn private_keys(
    list: &ck::CK_FUNCTION_LIST,
    session: ck::CK_SESSION_HANDLE,
    id: Option<&[u8]>,
) -> Vec<ck::CK_OBJECT_HANDLE> {
    let mut class = ck::CKO_PRIVATE_KEY;
    let mut template = vec![attribute(ck::CKA_CLASS, (&raw mut class).cast(), size_of_val(&class))];
    let mut id = id.map(<[u8]>::to_vec);
    if let Some(id) = &mut id {
        template.push(attribute(ck::CKA_ID, id.as_mut_ptr().cast(), id.len()));
    }
    call!(list, C_FindObjectsInit(session, template.as_mut_ptr(), template.len() as ck::CK_ULONG));
    let (mut keys, mut some, mut found) = (Vec::new(), [0; 64], 0);
    loop {
        call!(list, C_FindObjects(session, some.as_mut_ptr(), some.len() as ck::CK_ULONG, &raw mut found));
        if found == 0 {
            break;
        }
        keys.extend_from_slice(&some[..found as usize]);
    }
    call!(list, C_FindObjectsFinal(session));
    keys
}

fn id_of(list: &ck::CK_FUNCTION_LIST, session: ck::CK_SESSION_HANDLE, key: ck::CK_OBJECT_HANDLE) -> Vec<u8> {
    let mut id = vec![0; 64];
    let mut wanted = attribute(ck::CKA_ID, id.as_mut_ptr().cast(), id.len());
    call!(list, C_GetAttributeValue(session, key, &raw mut wanted, 1));
    id.truncate(wanted.ulValueLen as usize);
    id
}

fn attribute(type_: ck::CK_ATTRIBUTE_TYPE, value: *mut c_void, length: usize) -> ck::CK_ATTRIBUTE {
    ck::CK_ATTRIBUTE { type_, pValue: value, ulValueLen: length as ck::CK_ULONG }
}
