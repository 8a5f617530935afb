//! The raw calls of the HSM's module, each behind a safe function: all pointers to it are made and all its lengths
//! checked in this one file. It must never call a function that is not listed here, and never believe a length.
//! Source: PKCS#11 3.1, section 5. Read next: `pool.rs`.
#![expect(unsafe_code, reason = "calls into a C library")]

use super::code::{Failure, narrow, wide};
use crate::{gate::token::PssParameters, policy::algorithm::Mechanism};
use cryptoki_sys as ck;
use std::{ffi::c_void, mem::MaybeUninit, ptr};

/// Type of the one symbol that is looked up by name.
pub(super) type GetFunctionList = unsafe extern "C" fn(*mut *mut ck::CK_FUNCTION_LIST) -> ck::CK_RV;

/// More objects than this never match one CKA_ID or label; a module that says so is not believed.
const MOST_OBJECTS: usize = 256;

/// More slots than this are not looked at.
const MOST_SLOTS: usize = 4096;

/// How often the number of slots may change while they are listed; a module that goes on changing it is not believed.
const MOST_CHANGES: usize = 8;

macro_rules! calls {
    ($($field:ident: $function:ident($($argument:ty),*);)*) => {
        /// The functions of the backing that the gate uses; there are no others.
        #[derive(Clone, Copy)]
        pub(super) struct Calls {
            $($field: unsafe extern "C" fn($($argument),*) -> ck::CK_RV,)*
        }

        impl Calls {
            /// Copies the functions out of a list; the error is the name of a missing one.
            ///
            /// # Safety
            /// `list` points to a function list with at least the functions of version 2.40.
            pub(super) unsafe fn take(list: *const ck::CK_FUNCTION_LIST) -> Result<Calls, &'static str> {
                Ok(Calls {
                    $(
                        // SAFETY: the field lies inside the list, by the contract of this function.
                        $field: unsafe { (&raw const (*list).$function).read_unaligned() }
                            .ok_or(stringify!($function))?,
                    )*
                })
            }

            /// Where each function lies.
            pub(super) fn addresses(&self) -> Vec<(&'static str, *const c_void)> {
                vec![$((stringify!($function), self.$field as *const c_void),)*]
            }
        }
    };
}

calls! {
    initialize: C_Initialize(*mut c_void);
    finalize: C_Finalize(*mut c_void);
    get_slot_list: C_GetSlotList(ck::CK_BBOOL, *mut ck::CK_SLOT_ID, *mut ck::CK_ULONG);
    get_token_info: C_GetTokenInfo(ck::CK_SLOT_ID, *mut ck::CK_TOKEN_INFO);
    get_mechanism_info: C_GetMechanismInfo(ck::CK_SLOT_ID, ck::CK_MECHANISM_TYPE, *mut ck::CK_MECHANISM_INFO);
    open_session: C_OpenSession(
        ck::CK_SLOT_ID, ck::CK_FLAGS, *mut c_void, ck::CK_NOTIFY, *mut ck::CK_SESSION_HANDLE
    );
    close_session: C_CloseSession(ck::CK_SESSION_HANDLE);
    login: C_Login(ck::CK_SESSION_HANDLE, ck::CK_USER_TYPE, *mut ck::CK_UTF8CHAR, ck::CK_ULONG);
    find_objects_init: C_FindObjectsInit(ck::CK_SESSION_HANDLE, *mut ck::CK_ATTRIBUTE, ck::CK_ULONG);
    find_objects: C_FindObjects(ck::CK_SESSION_HANDLE, *mut ck::CK_OBJECT_HANDLE, ck::CK_ULONG, *mut ck::CK_ULONG);
    find_objects_final: C_FindObjectsFinal(ck::CK_SESSION_HANDLE);
    get_attribute_value: C_GetAttributeValue(
        ck::CK_SESSION_HANDLE, ck::CK_OBJECT_HANDLE, *mut ck::CK_ATTRIBUTE, ck::CK_ULONG
    );
    sign_init: C_SignInit(ck::CK_SESSION_HANDLE, *mut ck::CK_MECHANISM, ck::CK_OBJECT_HANDLE);
    sign: C_Sign(ck::CK_SESSION_HANDLE, *mut ck::CK_BYTE, ck::CK_ULONG, *mut ck::CK_BYTE, *mut ck::CK_ULONG);
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calls")
    }
}

fn check(function: &'static str, code: ck::CK_RV) -> Result<(), Failure> {
    if code == ck::CKR_OK { Ok(()) } else { Err(Failure { function, code }) }
}

impl Calls {
    /// C_Initialize with native locks. False: the application has done it already.
    pub(super) fn initialize(&self) -> Result<bool, Failure> {
        let mut arguments = ck::CK_C_INITIALIZE_ARGS {
            CreateMutex: None,
            DestroyMutex: None,
            LockMutex: None,
            UnlockMutex: None,
            flags: ck::CKF_OS_LOCKING_OK,
            pReserved: ptr::null_mut(),
        };
        // SAFETY: a complete argument structure that outlives the call.
        match unsafe { (self.initialize)((&raw mut arguments).cast()) } {
            ck::CKR_CRYPTOKI_ALREADY_INITIALIZED => Ok(false),
            code => check("C_Initialize", code).map(|()| true),
        }
    }

    /// C_Finalize.
    pub(super) fn finalize(&self) -> Result<(), Failure> {
        // SAFETY: the argument must be NULL.
        check("C_Finalize", unsafe { (self.finalize)(ptr::null_mut()) })
    }

    /// C_GetSlotList: the slots that have a token.
    pub(super) fn slots(&self) -> Result<Vec<ck::CK_SLOT_ID>, Failure> {
        const NAME: &str = "C_GetSlotList";
        let mut last = ck::CKR_BUFFER_TOO_SMALL;
        for _ in 0..MOST_CHANGES {
            let mut count: ck::CK_ULONG = 0;
            // SAFETY: NULL asks for the number only; `count` is a valid place for it.
            check(NAME, unsafe { (self.get_slot_list)(ck::CK_TRUE, ptr::null_mut(), &raw mut count) })?;
            let room = usize::try_from(count).unwrap_or(MOST_SLOTS).min(MOST_SLOTS);
            // p11-kit takes no room for a question about the number, and answers the next line for ever.
            if room == 0 {
                return Ok(Vec::new());
            }
            let mut slots = vec![0; room];
            let mut count = narrow(room);
            // SAFETY: `slots` has room for `count` numbers.
            last = unsafe { (self.get_slot_list)(ck::CK_TRUE, slots.as_mut_ptr(), &raw mut count) };
            // Too small: a token was plugged in meanwhile.
            if last != ck::CKR_BUFFER_TOO_SMALL {
                check(NAME, last)?;
                slots.truncate(usize::try_from(count).unwrap_or(room));
                return Ok(slots);
            }
        }
        Err(Failure { function: NAME, code: last })
    }

    /// C_GetTokenInfo.
    pub(super) fn token(&self, slot: ck::CK_SLOT_ID) -> Result<ck::CK_TOKEN_INFO, Failure> {
        let mut token = MaybeUninit::<ck::CK_TOKEN_INFO>::zeroed();
        // SAFETY: room for one structure.
        check("C_GetTokenInfo", unsafe { (self.get_token_info)(slot, token.as_mut_ptr()) })?;
        // SAFETY: every bit pattern, also the zeros from before the call, is a valid CK_TOKEN_INFO.
        Ok(unsafe { token.assume_init() })
    }

    /// C_GetMechanismInfo: whether the token signs with it.
    pub(super) fn signs_with(&self, slot: ck::CK_SLOT_ID, mechanism: Mechanism) -> Result<bool, Failure> {
        let mut answer = ck::CK_MECHANISM_INFO { ulMinKeySize: 0, ulMaxKeySize: 0, flags: 0 };
        // SAFETY: room for one structure.
        match unsafe { (self.get_mechanism_info)(slot, narrow(mechanism.number()), &raw mut answer) } {
            ck::CKR_MECHANISM_INVALID => Ok(false),
            code => check("C_GetMechanismInfo", code).map(|()| answer.flags & ck::CKF_SIGN != 0),
        }
    }

    /// C_OpenSession, read-only.
    pub(super) fn open_session(&self, slot: ck::CK_SLOT_ID) -> Result<ck::CK_SESSION_HANDLE, Failure> {
        let mut session = 0;
        // SAFETY: no notification is asked for; `session` is a valid place for the handle.
        let code =
            unsafe { (self.open_session)(slot, ck::CKF_SERIAL_SESSION, ptr::null_mut(), None, &raw mut session) };
        check("C_OpenSession", code).map(|()| session)
    }

    /// C_CloseSession.
    pub(super) fn close_session(&self, session: ck::CK_SESSION_HANDLE) -> Result<(), Failure> {
        // SAFETY: a number.
        check("C_CloseSession", unsafe { (self.close_session)(session) })
    }

    /// C_Login as the user, or for the operation at hand. Already logged in counts as success.
    pub(super) fn login(
        &self,
        session: ck::CK_SESSION_HANDLE,
        user: ck::CK_USER_TYPE,
        pin: &mut [u8],
    ) -> Result<(), Failure> {
        // SAFETY: `pin` is valid for its length.
        match unsafe { (self.login)(session, user, pin.as_mut_ptr(), narrow(pin.len())) } {
            ck::CKR_USER_ALREADY_LOGGED_IN => Ok(()),
            code => check("C_Login", code),
        }
    }

    /// C_FindObjectsInit, C_FindObjects until it finds no more, C_FindObjectsFinal.
    pub(super) fn find(
        &self,
        session: ck::CK_SESSION_HANDLE,
        template: &[(ck::CK_ATTRIBUTE_TYPE, &[u8])],
    ) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        let mut attributes: Vec<ck::CK_ATTRIBUTE> = template
            .iter()
            .map(|(type_, value)| ck::CK_ATTRIBUTE {
                type_: *type_,
                pValue: value.as_ptr().cast_mut().cast(),
                ulValueLen: narrow(value.len()),
            })
            .collect();
        // SAFETY: each attribute points to a value that outlives the call; the backing only reads templates.
        let code = unsafe { (self.find_objects_init)(session, attributes.as_mut_ptr(), narrow(attributes.len())) };
        check("C_FindObjectsInit", code)?;
        let found = self.collect(session);
        // SAFETY: a number.
        let ended = check("C_FindObjectsFinal", unsafe { (self.find_objects_final)(session) });
        found.and_then(|found| ended.map(|()| found))
    }

    fn collect(&self, session: ck::CK_SESSION_HANDLE) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        let mut found = Vec::new();
        while found.len() < MOST_OBJECTS {
            let mut batch = [0; 32];
            let mut count: ck::CK_ULONG = 0;
            // SAFETY: `batch` has room for as many handles as are asked for.
            let code = unsafe { (self.find_objects)(session, batch.as_mut_ptr(), narrow(batch.len()), &raw mut count) };
            check("C_FindObjects", code)?;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count == 0 {
                break;
            }
            found.extend(batch.iter().take(count));
        }
        Ok(found)
    }

    /// C_GetAttributeValue for one attribute: its bytes, or none where the object does not have or show it.
    pub(super) fn attribute(
        &self,
        session: ck::CK_SESSION_HANDLE,
        object: ck::CK_OBJECT_HANDLE,
        type_: ck::CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Vec<u8>>, Failure> {
        // The largest that is ever asked for is an RSA-8192 SubjectPublicKeyInfo, about 1,060 bytes.
        let mut value = vec![0; 2048];
        let mut attribute =
            ck::CK_ATTRIBUTE { type_, pValue: value.as_mut_ptr().cast(), ulValueLen: narrow(value.len()) };
        // SAFETY: one attribute whose value has room for the length it says.
        match unsafe { (self.get_attribute_value)(session, object, &raw mut attribute, 1) } {
            ck::CKR_ATTRIBUTE_TYPE_INVALID | ck::CKR_ATTRIBUTE_SENSITIVE | ck::CKR_BUFFER_TOO_SMALL => Ok(None),
            code => {
                check("C_GetAttributeValue", code)?;
                let length = usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX);
                if length > value.len() {
                    // CK_UNAVAILABLE_INFORMATION, or a length that can not be true.
                    return Ok(None);
                }
                value.truncate(length);
                Ok(Some(value))
            }
        }
    }

    /// C_SignInit.
    #[inline]
    pub(super) fn sign_init(
        &self,
        session: ck::CK_SESSION_HANDLE,
        key: ck::CK_OBJECT_HANDLE,
        mechanism: Mechanism,
        pss: Option<PssParameters>,
    ) -> Result<(), Failure> {
        let mut parameters = pss.map(|pss| ck::CK_RSA_PKCS_PSS_PARAMS {
            hashAlg: narrow(pss.hash.mechanism()),
            mgf: narrow(pss.hash.mgf()),
            sLen: narrow(pss.salt_length),
        });
        let mut mechanism =
            ck::CK_MECHANISM { mechanism: narrow(mechanism.number()), pParameter: ptr::null_mut(), ulParameterLen: 0 };
        if let Some(parameters) = &mut parameters {
            mechanism.pParameter = ptr::from_mut(parameters).cast();
            mechanism.ulParameterLen = narrow(size_of::<ck::CK_RSA_PKCS_PSS_PARAMS>());
        }
        // SAFETY: the mechanism and its parameters outlive the call; the backing copies what it keeps.
        check("C_SignInit", unsafe { (self.sign_init)(session, &raw mut mechanism, key) })
    }

    /// C_Sign, one-shot: how many bytes it says it wrote.
    #[inline]
    pub(super) fn sign(
        &self,
        session: ck::CK_SESSION_HANDLE,
        data: &[u8],
        signature: &mut [u8],
    ) -> Result<u64, Failure> {
        let mut length = narrow(signature.len());
        // SAFETY: `data` is only read (the parameter is not const in C for historical reasons), `signature` has room
        // for `length` bytes.
        let code = unsafe {
            (self.sign)(session, data.as_ptr().cast_mut(), narrow(data.len()), signature.as_mut_ptr(), &raw mut length)
        };
        check("C_Sign", code).map(|()| wide(length))
    }
}
