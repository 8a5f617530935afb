//! Microsoft's signtool.

use super::{Cannot, PLAIN, Tool};

pub const SIGNTOOL: Tool = Tool {
    name: "signtool",
    need: "signtool",
    signs: "a Windows program",
    present: "false",
    cannot: &[Cannot {
        distribution: None,
        holds: "true",
        key: None,
        why: "runs on Windows only and knows no PKCS #11; osslsigncode makes the same signatures",
        error: None,
    }],
    ..PLAIN
};
