//! A PKCS#11 module behind its function tables: thin calls that give the return code, nothing hidden. The same calls
//! drive the built gate and the bare HSM. `call!` reaches any function with any arguments, good or hostile; the
//! methods are for what most tests do on their way.
//! Read next: `code.rs` for return codes, `sign.rs` for mechanisms.

use super::code::{Answer, answer};
use cryptoki_sys::*;
use std::{
    env,
    ffi::c_void,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    ptr,
};

/// Calls a function of the 2.40 list: `call!(module, C_Logout(session))` is an [`Answer`].
#[macro_export]
macro_rules! call {
    ($module:expr, $name:ident($($argument:expr),* $(,)?)) => {{
        let function = $module.list().$name.expect(stringify!($name));
        // SAFETY: as PKCS#11 has it, or on purpose not: then the module under test must bear it.
        $crate::support::code::answer(unsafe { function($($argument),*) })
    }};
}

/// Calls a function of the 3.2 list.
#[macro_export]
macro_rules! call3 {
    ($module:expr, $name:ident($($argument:expr),* $(,)?)) => {{
        let function = $module.list_3_2().$name.expect(stringify!($name));
        // SAFETY: as PKCS#11 has it, or on purpose not: then the module under test must bear it.
        $crate::support::code::answer(unsafe { function($($argument),*) })
    }};
}

/// A loaded module. It stays loaded as long as the process.
pub struct Module {
    loaded: ManuallyDrop<libloading::Library>,
    list: *const CK_FUNCTION_LIST,
}

// SAFETY: the pointer leads to the module's table, which never changes; the functions behind it are thread-safe.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// Attribute types with their values.
pub type Template = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// The module that was built together with this test.
pub fn built_module() -> PathBuf {
    let program = env::current_exe().expect("this program").canonicalize().expect("this program");
    let beside = program.with_file_name("libsigngate_pkcs11.so");
    assert!(beside.is_file(), "no module at `{}`; `cargo test` builds it", beside.display());
    beside
}

/// The module of `examples/backing.rs`, built with the tests.
pub fn backing_module() -> PathBuf {
    let program = env::current_exe().expect("this program").canonicalize().expect("this program");
    let beside = program.parent().and_then(Path::parent).expect("the build's folder").join("examples/libbacking.so");
    assert!(beside.is_file(), "no `{}`; run `cargo build --example backing`", beside.display());
    beside
}

impl Module {
    /// Loads a module as applications do.
    pub fn load(path: &Path) -> Module {
        // SAFETY: a PKCS#11 module runs nothing of note when it is loaded.
        let library = unsafe { libloading::Library::new(path) }.expect("a module that loads");
        let mut list = ptr::null_mut();
        // SAFETY: the signature that PKCS#11 gives this symbol.
        let get =
            unsafe { library.get::<unsafe extern "C" fn(CK_FUNCTION_LIST_PTR_PTR) -> CK_RV>(b"C_GetFunctionList") };
        let get = get.expect("the symbol C_GetFunctionList");
        // SAFETY: a good pointer.
        assert_eq!(unsafe { get(&mut list) }, CKR_OK);
        Module { list, loaded: ManuallyDrop::new(library) }
    }

    /// The library itself.
    pub fn library(&self) -> &libloading::Library {
        &self.loaded
    }

    /// The 2.40 function list.
    pub fn list(&self) -> &'static CK_FUNCTION_LIST {
        // SAFETY: the module gave it and is never unloaded.
        unsafe { &*self.list }
    }

    /// The "PKCS 11" interface of this version; no version asks for the default.
    pub fn interface(&self, version: Option<(u8, u8)>) -> Answer<CK_INTERFACE> {
        let mut version = version.map(|(major, minor)| CK_VERSION { major, minor });
        self.interface_by(c"PKCS 11".as_ptr().cast_mut().cast(), version.as_mut(), 0)
    }

    /// C_GetInterface with any arguments.
    pub fn interface_by(
        &self,
        name: *mut u8,
        version: Option<&mut CK_VERSION>,
        flags: CK_FLAGS,
    ) -> Answer<CK_INTERFACE> {
        type Get = unsafe extern "C" fn(*mut u8, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS) -> CK_RV;
        let mut chosen = ptr::null_mut();
        let version = version.map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: the signature that PKCS#11 gives this symbol, and good pointers.
        unsafe {
            let get = self.loaded.get::<Get>(b"C_GetInterface").expect("the symbol C_GetInterface");
            answer(get(name, version, &mut chosen, flags)).map(|()| *chosen)
        }
    }

    /// The 3.2 function list.
    pub fn list_3_2(&self) -> &'static CK_FUNCTION_LIST_3_2 {
        let interface = self.interface(Some((3, 2))).expect("an interface 3.2");
        // SAFETY: the module says that this is what the pointer leads to.
        unsafe { &*interface.pFunctionList.cast::<CK_FUNCTION_LIST_3_2>() }
    }

    /// C_Initialize without arguments.
    pub fn initialize(&self) -> Answer {
        call!(self, C_Initialize(ptr::null_mut()))
    }

    /// C_Finalize.
    pub fn finalize(&self) -> Answer {
        call!(self, C_Finalize(ptr::null_mut()))
    }

    /// Every slot.
    pub fn slots(&self) -> Vec<CK_SLOT_ID> {
        let mut count = 0;
        call!(self, C_GetSlotList(CK_TRUE, ptr::null_mut(), &mut count)).expect("the number of slots");
        let mut slots = vec![0; count as usize];
        call!(self, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &mut count)).expect("the slots");
        slots.truncate(count as usize);
        slots
    }

    /// C_GetTokenInfo.
    pub fn token(&self, slot: CK_SLOT_ID) -> Answer<CK_TOKEN_INFO> {
        let mut info = CK_TOKEN_INFO::default();
        call!(self, C_GetTokenInfo(slot, &mut info)).map(|()| info)
    }

    /// The slot whose token has this label.
    pub fn slot(&self, label: &str) -> CK_SLOT_ID {
        let found = self.slots().into_iter().find(|&slot| text(&self.token(slot).expect("a token").label) == label);
        found.unwrap_or_else(|| panic!("no token `{label}`"))
    }

    /// The mechanisms a slot lists.
    pub fn mechanisms(&self, slot: CK_SLOT_ID) -> Answer<Vec<CK_MECHANISM_TYPE>> {
        let mut count = 0;
        call!(self, C_GetMechanismList(slot, ptr::null_mut(), &mut count))?;
        let mut list = vec![0; count as usize];
        call!(self, C_GetMechanismList(slot, list.as_mut_ptr(), &mut count))?;
        list.truncate(count as usize);
        Ok(list)
    }

    /// Opens a read-only session.
    pub fn open(&self, slot: CK_SLOT_ID) -> Answer<CK_SESSION_HANDLE> {
        self.open_with(slot, CKF_SERIAL_SESSION)
    }

    /// Opens a session with these flags.
    pub fn open_with(&self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> Answer<CK_SESSION_HANDLE> {
        let mut session = 0;
        call!(self, C_OpenSession(slot, flags, ptr::null_mut(), None, &mut session)).map(|()| session)
    }

    /// C_CloseSession.
    pub fn close(&self, session: CK_SESSION_HANDLE) -> Answer {
        call!(self, C_CloseSession(session))
    }

    /// The state of a session.
    pub fn state(&self, session: CK_SESSION_HANDLE) -> Answer<CK_STATE> {
        let mut info = CK_SESSION_INFO::default();
        call!(self, C_GetSessionInfo(session, &mut info)).map(|()| info.state)
    }

    /// C_Login as the user.
    pub fn login(&self, session: CK_SESSION_HANDLE, pin: &str) -> Answer {
        self.login_as(session, CKU_USER, pin.as_bytes())
    }

    /// C_Login.
    pub fn login_as(&self, session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> Answer {
        call!(self, C_Login(session, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG))
    }

    /// C_Logout.
    pub fn logout(&self, session: CK_SESSION_HANDLE) -> Answer {
        call!(self, C_Logout(session))
    }

    /// C_FindObjectsInit.
    pub fn find_init(&self, session: CK_SESSION_HANDLE, template: &Template) -> Answer {
        let mut template = attributes(template);
        call!(self, C_FindObjectsInit(session, template.as_mut_ptr(), template.len() as CK_ULONG))
    }

    /// C_FindObjects for at most `most`.
    pub fn find_next(&self, session: CK_SESSION_HANDLE, most: usize) -> Answer<Vec<CK_OBJECT_HANDLE>> {
        let mut handles = vec![CK_OBJECT_HANDLE::MAX; most];
        let mut count = CK_ULONG::MAX;
        call!(self, C_FindObjects(session, handles.as_mut_ptr(), most as CK_ULONG, &mut count))?;
        assert!(count as usize <= most, "more handles than there is room for");
        handles.truncate(count as usize);
        Ok(handles)
    }

    /// Every object with these attributes.
    pub fn find(&self, session: CK_SESSION_HANDLE, template: &Template) -> Answer<Vec<CK_OBJECT_HANDLE>> {
        self.find_init(session, template)?;
        let mut found = Vec::new();
        loop {
            let some = self.find_next(session, 16)?;
            if some.is_empty() {
                break;
            }
            found.extend(some);
        }
        call!(self, C_FindObjectsFinal(session))?;
        Ok(found)
    }

    /// The objects of a class.
    pub fn find_class(&self, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS) -> Vec<CK_OBJECT_HANDLE> {
        self.find(session, &vec![number(CKA_CLASS, class)]).expect("a search")
    }

    /// The one private key that shows itself in the slot of this session.
    pub fn private_key(&self, session: CK_SESSION_HANDLE) -> CK_OBJECT_HANDLE {
        let keys = self.find_class(session, CKO_PRIVATE_KEY);
        assert_eq!(keys.len(), 1, "private keys in the slot");
        keys[0]
    }

    /// The private key with this label: where a token holds several.
    pub fn labelled_key(&self, session: CK_SESSION_HANDLE, label: &str) -> CK_OBJECT_HANDLE {
        let template = vec![number(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_LABEL, label.as_bytes().to_vec())];
        let keys = self.find(session, &template).expect("a search");
        assert_eq!(keys.len(), 1, "private keys with the label {label}");
        keys[0]
    }

    /// One attribute, asked as tools do: first its length, then its value.
    pub fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Answer<Vec<u8>> {
        let mut asked = CK_ATTRIBUTE { type_: kind, pValue: ptr::null_mut(), ulValueLen: 0 };
        call!(self, C_GetAttributeValue(session, object, &mut asked, 1))?;
        let mut value = vec![0xa5; asked.ulValueLen as usize];
        asked.pValue = value.as_mut_ptr().cast();
        call!(self, C_GetAttributeValue(session, object, &mut asked, 1))?;
        assert_eq!(asked.ulValueLen as usize, value.len(), "the length of attribute {kind:#x} changed");
        Ok(value)
    }

    /// C_SignInit.
    pub fn sign_init(&self, session: CK_SESSION_HANDLE, how: &Mechanism, key: CK_OBJECT_HANDLE) -> Answer {
        let mut how = how.clone();
        call!(self, C_SignInit(session, &mut how.as_c(), key))
    }

    /// C_Sign into a buffer of this many bytes.
    pub fn sign_into(&self, session: CK_SESSION_HANDLE, data: &[u8], room: usize) -> Answer<Vec<u8>> {
        let mut signature = vec![0xa5; room];
        let mut length = room as CK_ULONG;
        call!(
            self,
            C_Sign(session, data.as_ptr().cast_mut(), data.len() as CK_ULONG, signature.as_mut_ptr(), &mut length)
        )?;
        assert!(length as usize <= room, "more bytes than there is room for");
        signature.truncate(length as usize);
        Ok(signature)
    }

    /// C_Sign with room enough.
    pub fn sign(&self, session: CK_SESSION_HANDLE, data: &[u8]) -> Answer<Vec<u8>> {
        self.sign_into(session, data, 1024)
    }

    /// The length that C_Sign tells without a buffer.
    pub fn sign_length(&self, session: CK_SESSION_HANDLE, data: &[u8]) -> Answer<usize> {
        let mut length = 0;
        call!(self, C_Sign(session, data.as_ptr().cast_mut(), data.len() as CK_ULONG, ptr::null_mut(), &mut length))?;
        Ok(length as usize)
    }

    /// C_SignUpdate.
    pub fn sign_update(&self, session: CK_SESSION_HANDLE, part: &[u8]) -> Answer {
        call!(self, C_SignUpdate(session, part.as_ptr().cast_mut(), part.len() as CK_ULONG))
    }

    /// C_SignFinal into a buffer of this many bytes.
    pub fn sign_final_into(&self, session: CK_SESSION_HANDLE, room: usize) -> Answer<Vec<u8>> {
        let mut signature = vec![0xa5; room];
        let mut length = room as CK_ULONG;
        call!(self, C_SignFinal(session, signature.as_mut_ptr(), &mut length))?;
        assert!(length as usize <= room, "more bytes than there is room for");
        signature.truncate(length as usize);
        Ok(signature)
    }

    /// C_SignFinal with room enough.
    pub fn sign_final(&self, session: CK_SESSION_HANDLE) -> Answer<Vec<u8>> {
        self.sign_final_into(session, 1024)
    }

    /// A whole signature: C_SignInit and C_Sign.
    pub fn sign_once(
        &self,
        session: CK_SESSION_HANDLE,
        how: &Mechanism,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
    ) -> Answer<Vec<u8>> {
        self.sign_init(session, how, key)?;
        self.sign(session, data)
    }
}

/// A mechanism with the bytes of its parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mechanism {
    /// CKM number.
    pub number: CK_MECHANISM_TYPE,
    /// Empty where there is none.
    pub parameter: Vec<u8>,
}

impl Mechanism {
    /// One without parameter.
    pub fn plain(number: CK_MECHANISM_TYPE) -> Mechanism {
        Mechanism { number, parameter: Vec::new() }
    }

    /// As C has it; good as long as `self` is.
    pub fn as_c(&mut self) -> CK_MECHANISM {
        let pointer =
            if self.parameter.is_empty() { ptr::null_mut() } else { self.parameter.as_mut_ptr().cast::<c_void>() };
        CK_MECHANISM { mechanism: self.number, pParameter: pointer, ulParameterLen: self.parameter.len() as CK_ULONG }
    }
}

/// As C has it; good as long as `template` is.
pub fn attributes(template: &Template) -> Vec<CK_ATTRIBUTE> {
    let attribute = |(kind, value): &(CK_ATTRIBUTE_TYPE, Vec<u8>)| CK_ATTRIBUTE {
        type_: *kind,
        pValue: value.as_ptr().cast_mut().cast(),
        ulValueLen: value.len() as CK_ULONG,
    };
    template.iter().map(attribute).collect()
}

/// An attribute that is a CK_ULONG.
pub fn number(kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
    (kind, value.to_ne_bytes().to_vec())
}

/// An attribute that is a CK_BBOOL.
pub fn flag(kind: CK_ATTRIBUTE_TYPE, value: bool) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
    (kind, vec![u8::from(value)])
}

/// A blank-padded field without its blanks.
pub fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end_matches(' ').to_owned()
}
