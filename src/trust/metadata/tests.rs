//! What a root may list: how many keys, and which ones. Rules over whole bundles are tested in tests/trust.
//! Read next: `../metadata.rs`.

use super::*;
use crate::{
    policy::fixture::RSA_2048,
    trust::author::{self, Signatories, SigningKey},
};

/// Made once with OpenSSL; nobody has the private key any more.
const RSA_3072: &str = "-----BEGIN PUBLIC KEY-----
MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEAo75bSQF7tFWKb1SzKOE9
tnwwZ+ScZE9XX3UmTZiIRe/xIYy6ofE5Idbg5rxGliQI+nhW7U3soFzajgLrxbdh
43HktHPzLGixTS/q6WhS2Q66j+Yla+xPZRM4BfrZHHNJF6UDx4hlHGpKkRztL6DQ
o4i3F2WXWx9L7qa+4lcnTnwRZPhyXE7rAF881jyBwzjLWIASWHFc/s1IfyXhtQ2Y
F69CRzJypc9DwGbVY751XhtYjMBitRcubE79rObf9FsykLuTcbNoAih5YbKjLLkI
dX6UHlhW7tmYBXPZGxkzM/U1a/+tzj2e/TxG3uzl2aXWk1gkwSX36OW2NrLKJe+6
/CG+xIb8SsRauY1iiAIY5mUZOeJBbWfmWiVpklQME7rGO47ECt78mp2TfIRxyQUc
HQrBmOQnR685/dCsWnHu7fMejt67gtmK9nFbQi1Rrv0rd/xSwnTJvTaNvvzaNVJS
lBqWuU7RGmJ1M8sdzxgR8hRURoNSQgqLlUtc2lQu2evNAgMBAAE=
-----END PUBLIC KEY-----";

/// As above.
const P_384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEnPKoI/l+npYiKcZZk25RdN9ALpPluQ53
dujuvjhpWit1KPWz79y2qdU/1ZOvBq5bptpTFTI8SWfEek37DAdUya1Gy3B308hL
2QJIn84w8h0inKB3OtiuE/N20zaG0thG
-----END PUBLIC KEY-----";

/// A root with the key of its roles and these.
fn root_with(keys: impl IntoIterator<Item = Json>) -> Result<Root, TrustError> {
    let key = SigningKey::generate().unwrap();
    let alone = Signatories { keys: vec![key.public().clone()], threshold: 1 };
    let roles = Role::ALL.into_iter().map(|role| (role, alone.clone())).collect();
    let Json::Object(mut members) = author::root(1, Timestamp::MAX, &roles) else { panic!("an object") };
    let Some(Json::Object(listed)) = members.get_mut("keys") else { panic!("an object") };
    for key in keys {
        listed.insert(data_encoding::HEXLOWER.encode(&sha256(&key.canonical())), key);
    }
    Root::read(&Envelope::read("1.root.json", &author::sign(Json::Object(members), &[&key]))?)
}

fn key(kind: &str, scheme: &str, public: &str) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    let object = |members: Vec<(&str, Json)>| {
        Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    object(vec![("keytype", text(kind)), ("keyval", object(vec![("public", text(public))])), ("scheme", text(scheme))])
}

#[test]
fn a_root_lists_no_more_than_256_keys_known_or_not() {
    let unknown = |count: usize| root_with((1..count).map(|number| key("later", &number.to_string(), "")));
    assert!(unknown(MAXIMUM_KEYS).is_ok());
    assert!(unknown(MAXIMUM_KEYS + 1).unwrap_err().to_string().contains("more than 256 keys"));
}

#[test]
fn an_rsa_key_of_a_root_has_3072_bits_or_more() {
    let rsa = |public| root_with([key("rsa", "rsassa-pss-sha256", public)]);
    assert!(rsa(RSA_3072).is_ok());
    assert!(rsa(RSA_2048).unwrap_err().to_string().contains("3072 bits or more"));
}

#[test]
fn an_ec_key_of_a_root_is_of_the_curve_of_its_scheme() {
    for kind in ["ecdsa", "ecdsa-sha2-nistp384"] {
        assert!(root_with([key(kind, "ecdsa-sha2-nistp384", P_384)]).is_ok());
    }
    let refused = |public| root_with([key("ecdsa", "ecdsa-sha2-nistp256", public)]).unwrap_err().to_string();
    assert!(refused(P_384).contains("not a key for the scheme"));
    assert!(refused(RSA_3072).contains("not a key for the scheme"));
}
