//! Microsoft's signtool.

use super::{ALWAYS, Cannot, PLAIN, Tool};

pub const SIGNTOOL: Tool = Tool {
    name: "signtool",
    need: "signtool",
    signs: "a Windows program",
    present: "false",
    cannot: &[Cannot {
        why: "runs on Windows only and knows no PKCS #11; osslsigncode makes the same signatures",
        ..ALWAYS
    }],
    ..PLAIN
};
