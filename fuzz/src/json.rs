//! The strict JSON of signed documents, against serde_json's own tree: what is read is the same tree there, written for
//! people it reads back the same, and two spellings of one tree have one canonical form.

use super::text::one_line;
use serde_json::Value;
use signgate_pkcs11::trust::json::Json;

pub fn run(data: &[u8]) -> bool {
    let tree = match Json::read(data) {
        Ok(tree) => tree,
        Err(error) => {
            one_line(&error.to_string());
            return false;
        }
    };
    let other: Value = serde_json::from_slice(data).expect("what was read is JSON");
    same(&tree, &other);
    let pretty = tree.pretty();
    assert_eq!(Json::read(pretty.as_bytes()).as_ref(), Ok(&tree));
    let tight = Json::read(other.to_string().as_bytes()).expect("the tree, written by another");
    assert_eq!(tight.canonical(), tree.canonical());
    true
}

fn same(tree: &Json, other: &Value) {
    match (tree, other) {
        (Json::Null, Value::Null) => {}
        (Json::Bool(one), Value::Bool(two)) => assert_eq!(one, two),
        (Json::Integer(one), Value::Number(two)) => {
            let two = two.as_u64().map(i128::from).or(two.as_i64().map(i128::from));
            assert_eq!(Some(*one), two);
        }
        (Json::Text(one), Value::String(two)) => assert_eq!(one, two),
        (Json::Array(one), Value::Array(two)) => {
            assert_eq!(one.len(), two.len());
            one.iter().zip(two).for_each(|(one, two)| same(one, two));
        }
        (Json::Object(one), Value::Object(two)) => {
            assert_eq!(one.len(), two.len(), "a member stands twice");
            one.iter().for_each(|(name, value)| same(value, &two[name]));
        }
        _ => panic!("{tree:?} is not {other}"),
    }
}
