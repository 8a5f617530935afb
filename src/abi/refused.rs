//! The functions that never do anything: one body per number of arguments, the code chosen by the table.
//! They look at the module and the session only, so that a caller's mistake reads as the mistake it is.
//! They must never touch the other arguments. Read next: `entry.rs`.

use super::entry;
use cryptoki_sys as ck;

/// A C function pointer type that can stand for a refusal with `CODE`.
pub(super) trait Refuse<const CODE: ck::CK_RV>: Sized {
    /// The function.
    const REFUSE: Self;
}

macro_rules! refusals {
    ($($name:ident($($argument:ident),*);)*) => {
        $(
            unsafe extern "C" fn $name<const CODE: ck::CK_RV, $($argument),*>(
                session: ck::CK_SESSION_HANDLE,
                $(_: $argument),*
            ) -> ck::CK_RV {
                entry::refuse(session, CODE)
            }

            impl<const CODE: ck::CK_RV, $($argument),*> Refuse<CODE>
                for unsafe extern "C" fn(ck::CK_SESSION_HANDLE, $($argument),*) -> ck::CK_RV
            {
                const REFUSE: Self = $name::<CODE, $($argument),*>;
            }
        )*
    };
}

refusals! {
    refuse1();
    refuse2(B);
    refuse3(B, C);
    refuse4(B, C, D);
    refuse5(B, C, D, E);
    refuse6(B, C, D, E, F);
    refuse7(B, C, D, E, F, G);
    refuse8(B, C, D, E, F, G, H);
    refuse9(B, C, D, E, F, G, H, I);
    refuse10(B, C, D, E, F, G, H, I, J);
}
