//! Lines of the audit log. A line that is read says to serde_json the same members and nothing else, is one object, and
//! written again is the one encoding: sorted members, one line, and reading it gives the same record.

use super::text::one_line;
use serde_json::Value;
use signgate_pkcs11::ledger::{Record, RecordHash};

pub fn run(data: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(data) else { return false };
    let record = match Record::read(line) {
        Ok(record) => record,
        Err(error) => {
            one_line(&error);
            return false;
        }
    };
    let value: Value = serde_json::from_str(line).expect("what was read is JSON");
    let stated = value.as_object().expect("a record is an object, whatever else a decoder would take");
    let written = record.line().expect("a record that was read can be written");
    assert!(!written.contains('\n') && !written.contains('\r'));
    assert_eq!(Record::read(&written).as_ref(), Ok(&record));
    let again: Value = serde_json::from_str(&written).unwrap();
    let again = again.as_object().expect("an object");
    for (name, value) in again {
        assert!(stated.contains_key(name), "`{name}` was never stated");
        if value.is_u64() || value.is_boolean() {
            assert_eq!(stated[name], *value);
        }
    }
    let said = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    for (name, _) in stated.iter().filter(|(_, value)| said(value)) {
        assert!(again.contains_key(name), "`{name}` was lost");
    }
    // Sorted, so that whoever reads with another program writes the same bytes.
    let sorted: std::collections::BTreeMap<&String, &Value> = again.iter().collect();
    assert_eq!(serde_json::to_string(&sorted).unwrap(), written);
    assert_eq!(RecordHash::of(written.as_bytes()), RecordHash::of(record.line().unwrap().as_bytes()));
    true
}
