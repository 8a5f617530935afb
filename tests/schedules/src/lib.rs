//! The module's tables of sessions and of its life, under a scheduler that tries the orders in which threads can meet. The
//! tables are the product's files; what they hold is made small here. A failing order is printed, and can be run again.
//! It must never hold a copy of what it tests. Read next: `../../../src/gate/sessions.rs`, `../../../src/abi/life.rs`.

#![expect(non_snake_case, reason = "the names of the specification")]
#![expect(dead_code, reason = "the tables have more functions than are tried")]

/// Time that passes only while somebody waits, so that a wait has an end in every order.
pub mod clock {
    use std::time::Duration;

    #[derive(Clone, Copy)]
    pub struct Instant;

    impl Instant {
        pub fn now() -> Instant {
            Instant
        }

        /// No wait is given up: what must come to an end comes to one.
        pub fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }

    pub fn sleep(_: Duration) {
        shuttle::thread::yield_now();
    }
}

pub mod gate;

/// What `life.rs` makes a gate of.
pub mod config {
    pub struct ConfigError {
        pub next: String,
    }

    impl std::fmt::Display for ConfigError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.next)
        }
    }

    #[derive(Clone)]
    pub struct Environment;

    impl Environment {
        pub fn from_process() -> Environment {
            Environment
        }
    }

    #[derive(PartialEq, Eq)]
    pub enum Mode {
        Advisory,
        Enforced,
    }

    pub struct Config {
        pub mode: Mode,
        pub backend_module: (),
        pub tokens: (),
    }

    impl Config {
        pub fn find(_: &Environment) -> Result<Config, ConfigError> {
            Ok(Config { mode: Mode::Advisory, backend_module: (), tokens: () })
        }
    }
}

pub mod backend {
    pub struct Hsm;

    impl Hsm {
        pub fn new((): (), (): ()) -> Hsm {
            Hsm
        }
    }

    pub mod fork {
        #[derive(Clone, Copy)]
        pub struct Stamp;

        impl Stamp {
            pub fn take() -> Stamp {
                Stamp
            }

            pub fn is_current(self) -> bool {
                true
            }
        }
    }
}

pub mod identity {
    pub struct Client;

    impl Client {
        pub fn of_process(_: &crate::config::Config, (): ()) -> Client {
            Client
        }
    }
}

pub mod ledger {
    pub fn owned(_: &crate::config::Config, _: impl Fn() -> bool) {}
}

pub mod abi {
    pub mod entry {
        use crate::gate::{Error, Gate, rv};
        use cryptoki_sys as ck;
        use std::sync::Arc;

        pub type Current = Arc<Gate>;

        pub fn enter(body: impl FnOnce(&Gate) -> Result<(), Error>) -> ck::CK_RV {
            match super::life::current() {
                Some(gate) => rv::of(body(&gate)),
                None => ck::CKR_CRYPTOKI_NOT_INITIALIZED,
            }
        }

        pub fn guard(body: impl FnOnce() -> ck::CK_RV) -> ck::CK_RV {
            body()
        }
    }

    pub mod pointer {
        use crate::gate::Error;

        /// # Safety
        /// Never called: the arguments are NULL here.
        pub unsafe fn read<T: Copy>(_: *const T) -> Result<T, Error> {
            Err(Error::ArgumentsBad)
        }

        /// # Safety
        /// Never called: the arguments are NULL here.
        pub unsafe fn write<T: Copy>(_: *mut T, _: T) -> Result<(), Error> {
            Err(Error::ArgumentsBad)
        }
    }

    pub mod peer {
        /// Nobody calls from another process here.
        #[expect(non_upper_case_globals, reason = "it stands for a function")]
        pub const ask: () = ();
    }

    pub mod life {
        include!(concat!(env!("OUT_DIR"), "/life.rs"));
    }

    /// What a call holds while it is inside.
    pub fn current() -> Option<entry::Current> {
        life::current()
    }

    /// The two functions of the specification, as C calls them without arguments.
    pub fn initialize() -> cryptoki_sys::CK_RV {
        // SAFETY: NULL is allowed.
        unsafe { life::C_Initialize(std::ptr::null_mut()) }
    }

    pub fn finalize() -> cryptoki_sys::CK_RV {
        // SAFETY: NULL is allowed.
        unsafe { life::C_Finalize(std::ptr::null_mut()) }
    }
}

#[cfg(test)]
mod tests;
