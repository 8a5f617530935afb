//! The form of every case, held by types: a [`Case`] can not be written without its control on the bare HSM, nor without
//! saying what the attack is answered, what the HSM may hear of it, what may come out and what is written down. The runner
//! looks at all four, whatever the body of the case does. Read next: `run.rs`, then `row_01.rs`.

use crate::support::{child::Child, folder::Folder};
use cryptoki_sys::CK_RV;

/// One attempt to get past the gate.
pub struct Case {
    /// Of "What must not work" in the design; `docs/bypass.md` has them.
    pub row: u8,
    /// Where it is tried.
    pub modes: Modes,
    /// What lies there: tokens, policy, ledger, configuration.
    pub scene: fn(&'static str) -> Folder,
    /// The same attack where nothing stands in its way.
    pub control: Control,
    /// What is changed outside before the attack, and that the gate signs without the change.
    pub change: Change,
    /// The attack through the gate.
    pub attack: fn(&mut super::attack::Attack<'_>),
    /// What its calls are answered.
    pub answers: Answers,
    /// What the HSM may hear of it.
    pub hsm: Hsm,
    /// What may come out.
    pub out: Out,
    /// What is written down.
    pub records: Records,
}

/// Where a case is tried: in the tool's own process, or also behind p11-kit's socket, in a process of another kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Modes {
    /// The attack is on the process, its memory or its environment, which the socket takes away.
    Advisory,
    /// Calls alone.
    Both,
}

/// The attack on the bare HSM: its body succeeds, and the HSM has heard these functions.
pub struct Control {
    /// Which HSM.
    pub hsm: Bare,
    /// What it hears when the attack succeeds.
    pub hears: &'static [&'static str],
    /// The attack.
    pub body: fn(&Child),
}

/// The HSM without the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bare {
    /// SoftHSM, in the folder of the attack: what the control changes there is changed for the gate as well.
    Token,
    /// SoftHSM, in a folder of its own, which the control spoils.
    OwnToken,
    /// The module of `examples/backing.rs`, which has every function and gives something away with each.
    Lavish,
}

/// What happens outside between the control and the attack.
#[derive(Clone, Copy)]
pub enum Change {
    /// Nothing.
    None,
    /// The gate gives a signature, then this is done to its files, then comes the attack.
    Of(fn(&Folder)),
}

/// How often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    Exactly(usize),
    UpTo(usize),
}

impl Count {
    pub fn holds(self, seen: usize) -> bool {
        match self {
            Count::Exactly(count) => seen == count,
            Count::UpTo(count) => seen <= count,
        }
    }
}

/// The codes of the attack's calls, in their order.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    /// These.
    Are(&'static [CK_RV]),
    /// At least one call, and each is answered with one of these.
    Among(&'static [CK_RV]),
}

/// What the HSM may hear.
#[derive(Clone, Copy, Debug)]
pub enum Hsm {
    /// Nothing at all.
    Nothing,
    /// The few functions that a signature needs, and so many signatures.
    Signs(Count),
}

/// What may come out. The bytes of every buffer that an attack hands over are looked at after the call.
#[derive(Clone, Copy, Debug)]
pub enum Out {
    /// Not one byte.
    Nothing,
    /// So many signatures, each over the data that was given, by the policy's key: openssl has looked.
    Signatures(Count),
}

/// What the ledger holds afterwards that it did not hold before.
#[derive(Clone, Copy, Debug)]
pub enum Records {
    /// Exactly this.
    Are(Written),
    /// There is no ledger, or it can not be written: every refusal says so on stderr.
    Unwritable,
}

/// New records. Each signature is an intent and its outcome.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Signatures that were released.
    pub released: Count,
    /// Those that were given back, because the HSM was never asked.
    pub given_back: usize,
    /// Those that are spent without a signature: the HSM failed, or what it gave did not verify, or nobody lived to say.
    pub spent: Count,
    /// The reasons of all refusals.
    pub refused: &'static [&'static str],
}

/// Nothing was decided, so nothing is written.
pub const SILENCE: Records =
    Records::Are(Written { released: Count::Exactly(0), given_back: 0, spent: Count::Exactly(0), refused: &[] });

/// Refusals for these reasons, and nothing else.
pub const fn refused(reasons: &'static [&'static str]) -> Records {
    signed(0, reasons)
}

/// So many signatures, and refusals for these reasons.
pub const fn signed(released: usize, refused: &'static [&'static str]) -> Records {
    Records::Are(Written { released: Count::Exactly(released), given_back: 0, spent: Count::Exactly(0), refused })
}

/// Up to so many signatures, and refusals for these reasons.
pub const fn signed_up_to(released: usize, refused: &'static [&'static str]) -> Records {
    Records::Are(Written { released: Count::UpTo(released), given_back: 0, spent: Count::Exactly(0), refused })
}

/// The cases of one row: each becomes a test of its own name, and a line of the table.
macro_rules! cases {
    ($($(#[doc = $doc:literal])* $name:ident: $case:expr;)*) => {
        /// This file's cases by their names.
        pub const CASES: &[(&str, $crate::case::Case)] = &[$((stringify!($name), $case)),*];

        $(
            $(#[doc = $doc])*
            #[test]
            fn $name() {
                $crate::run::run($crate::here!(), stringify!($name), CASES);
            }
        )*
    };
}
pub(crate) use cases;
