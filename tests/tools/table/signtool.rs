//! Microsoft's signtool.

use super::{ALWAYS, Cannot, PLAIN, Tool};

pub const SIGNTOOL: Tool = Tool {
    name: "signtool",
    need: "signtool",
    signs: "a Windows program",
    present: "false",
    cannot: &[Cannot {
        why: "runs on Windows only and knows no PKCS #11; there it signs by way of the module's other interface \
              (docs/windows.md), and here osslsigncode makes the same signatures",
        ..ALWAYS
    }],
    ..PLAIN
};
