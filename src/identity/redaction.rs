//! A command line with nothing in it that could be a secret.
//!
//! Made by an allow-list: the program's name, names of options, paths of files that exist. All else is `…`, and so is
//! the argument after an option that may take a secret, whatever it looks like. Kept in audit records and compared
//! with the scopes of grants, so the form must not change between versions. Read next: `calling_program.rs`.

const HIDDEN: &str = "…";
/// What is beyond is left out; signing commands have a few dozen arguments.
const MOST_ARGUMENTS: usize = 64;
/// In bytes; a longer argument is hidden.
const LONGEST_ARGUMENT: usize = 512;

/// The redacted form of a command line. `is_file` says whether an argument is the path of a file that exists.
pub(super) fn redact(arguments: &[String], is_file: impl Fn(&str) -> bool) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = arguments.iter();
    words.extend(rest.next().map(|program| program_name(program)));
    let mut next_is_secret = false;
    let mut options_ended = false;
    for (number, argument) in rest.enumerate() {
        if number == MOST_ARGUMENTS {
            words.push(HIDDEN.to_owned());
            break;
        }
        if std::mem::take(&mut next_is_secret) || argument.len() > LONGEST_ARGUMENT {
            words.push(HIDDEN.to_owned());
        } else if argument == "--" {
            options_ended = true;
            words.push(argument.clone());
        } else if argument.starts_with('-') && !options_ended {
            let (name, value) = match argument.split_once('=') {
                Some((name, _)) => (name, true),
                None => (argument.as_str(), false),
            };
            next_is_secret = !value && may_take_secret(name);
            words.push(if value { format!("{}={HIDDEN}", option_name(name)) } else { option_name(name) });
        } else if cfg!(windows) && argument.starts_with('/') && !is_file(argument) {
            // An option of signtool and its like, such as `/p`.
            next_is_secret = may_take_secret(&argument.replacen('/', "-", 1));
            words.push(HIDDEN.to_owned());
        } else if is_file(argument) {
            words.push(shown(argument));
        } else {
            words.push(HIDDEN.to_owned());
        }
    }
    words.join(" ")
}

/// The last part of the program's path. A process may have put anything there.
fn program_name(program: &str) -> String {
    let is_separator = |letter: char| letter == '/' || (cfg!(windows) && letter == '\\');
    let name = program.rsplit(is_separator).next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) { name.to_owned() } else { HIDDEN.to_owned() }
}

/// As much of an option as is surely its name. `-p1234` is an option with its value (getopt), `-keystore` is a name
/// (Java, openssl): only known names of the second kind are shown.
fn option_name(name: &str) -> String {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if let Some(long) = name.strip_prefix("--") {
        let shown = long.len() <= 40 && long.starts_with(|first: char| first.is_ascii_alphabetic()) && plain(long);
        return if shown { name.to_owned() } else { HIDDEN.to_owned() };
    }
    let short = name.strip_prefix('-').unwrap_or(name);
    // `-storepass:env` of jarsigner.
    let bare = short.strip_suffix(":env").or_else(|| short.strip_suffix(":file")).unwrap_or(short);
    if SINGLE_DASH.contains(&bare) {
        return name.to_owned();
    }
    let mut letters = short.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphanumeric() => name.to_owned(),
        (Some(letter), Some(_)) if letter.is_ascii_alphabetic() => format!("-{letter}{HIDDEN}"),
        (None | Some(_), None | Some(_)) => HIDDEN.to_owned(),
    }
}

/// Whether the next argument may be a secret, even where it looks like an option or a file.
fn may_take_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let telling = ["pass", "pin", "pwd", "secret", "token", "auth", "cred", "phrase"];
    telling.iter().any(|word| lower.contains(word)) || matches!(name, "-p" | "-P" | "-N" | "-k")
}

/// One word that can stand in a log line: quoted where it has blanks, quotes or control characters.
fn shown(path: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+:@,%".contains(letter);
    if path.chars().all(plain) { path.to_owned() } else { format!("{path:?}") }
}

/// Options of signing tools that are words after one dash.
const SINGLE_DASH: &[&str] = &[
    // java, jarsigner, keytool, apksigner
    "addprovider",
    "alias",
    "altsigner",
    "certchain",
    "certreq",
    "certs",
    "classpath",
    "conf",
    "cp",
    "digestalg",
    "genkeypair",
    "jar",
    "keypass",
    "keystore",
    "list",
    "providerArg",
    "providerClass",
    "providerName",
    "rfc",
    "sigalg",
    "sigfile",
    "signedjar",
    "storepass",
    "storetype",
    "strict",
    "tsa",
    "tsacert",
    "tsadigestalg",
    "tsapolicyid",
    "verbose",
    "verify",
    // osslsigncode
    "ac",
    "add-msi-dse",
    "askpass",
    "catalog",
    "comm",
    "in",
    "jp",
    "key",
    "nolegacy",
    "out",
    "pass",
    "pem",
    "ph",
    "pkcs11cert",
    "pkcs11engine",
    "pkcs11module",
    "provider",
    "readpass",
    "spc",
    "ts",
    // openssl
    "binary",
    "certfile",
    "cms",
    "detached",
    "engine",
    "hex",
    "inform",
    "inkey",
    "keyform",
    "keyopt",
    "md",
    "noattr",
    "nodetach",
    "noverify",
    "outform",
    "passin",
    "passout",
    "pkeyopt",
    "propquery",
    "provider-path",
    "rawin",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sign",
    "signature",
    "signer",
    "sigopt",
    // modutil
    "add",
    "dbdir",
    "force",
    "libfile",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(line: &[&str], files: &[&str]) -> String {
        let arguments: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        redact(&arguments, |path| files.contains(&path))
    }

    #[test]
    fn commands_of_signing_tools_keep_their_shape_and_lose_their_values() {
        let cases: [(&str, &str); 9] = [
            (
                "/usr/bin/jarsigner -keystore NONE -storetype PKCS11 -storepass hunter2 -addprovider SunPKCS11 -providerArg p11.cfg app.jar release",
                "jarsigner -keystore … -storetype … -storepass … -addprovider … -providerArg p11.cfg app.jar …",
            ),
            (
                "jarsigner -storepass:env P11PIN -keypass:file app.jar app.jar release",
                "jarsigner -storepass:env … -keypass:file … app.jar …",
            ),
            (
                "osslsigncode sign -pkcs11module /lib/p.so -key pkcs11:token=T;pin-value=hunter2 -pass hunter2 -h sha256 -in in.exe -out out.exe",
                "osslsigncode … -pkcs11module /lib/p.so -key … -pass … -h … -in in.exe -out …",
            ),
            (
                "pkcs11-tool --module /lib/p.so --token-label T --login --pin hunter2 --id 01 --sign -m SHA256-RSA-PKCS",
                "pkcs11-tool --module /lib/p.so --token-label … --login --pin … --id … --sign -m …",
            ),
            ("pkcs11-tool --pin=hunter2 -phunter2 -p hunter2", "pkcs11-tool --pin=… -p… -p …"),
            ("java -Dpkcs11.pin=hunter2 -J-Dx.pin=hunter2 -jar app.jar", "java -D…=… -J…=… -jar app.jar"),
            ("ssh-keygen -Y sign -P hunter2 -Nhunter2 -f in.exe", "ssh-keygen -Y … -P … -N… -f in.exe"),
            (
                "gpg --batch --passphrase --hunter2 -u ID -- --in.exe in.exe",
                "gpg --batch --passphrase … -u … -- … in.exe",
            ),
            ("sh -c hunter2", "sh -c …"),
        ];
        for (line, wanted) in cases {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(redacted(&words, &["p11.cfg", "app.jar", "in.exe", "/lib/p.so"]), wanted);
        }
    }

    #[cfg(windows)]
    #[test]
    fn options_that_begin_with_a_slash_lose_their_values() {
        let line = [r"C:\kits\signtool.exe", "sign", "/fd", "SHA256", "/p", "in.exe", "in.exe"];
        assert_eq!(redacted(&line, &["in.exe"]), "signtool.exe … … … … … in.exe");
    }

    #[test]
    fn a_secret_that_is_also_a_file_stays_hidden() {
        assert_eq!(redacted(&["t", "--pin", "1234", "1234"], &["1234"]), "t --pin … 1234");
    }

    #[test]
    fn nothing_breaks_out_of_the_line() {
        assert_eq!(redacted(&["t", "a\nb", "c d"], &["a\nb", "c d"]), r#"t "a\nb" "c d""#);
        assert_eq!(redacted(&["sshd: bob\n", "-\u{1b}"], &[]), "… …");
        assert_eq!(redacted(&[], &[]), "");
    }

    #[test]
    fn long_lines_are_cut() {
        let long = "x".repeat(LONGEST_ARGUMENT + 1);
        assert_eq!(redacted(&["t", &long, &format!("-{long}")], &[&long]), "t … …");
        let many: Vec<&str> = std::iter::repeat_n("f", 100).collect();
        assert_eq!(redacted(&many, &["f"]).split(' ').count(), 1 + MOST_ARGUMENTS + 1);
    }

    /// The ways to hand a secret to a tool.
    fn handed_over(secret: &str) -> Vec<Vec<String>> {
        let two = [
            "-storepass",
            "-keypass",
            "-pass",
            "--pin",
            "--so-pin",
            "-p",
            "-P",
            "-N",
            "--passphrase",
            "-passin",
            "--storepass",
            "--ks-pass",
            "--auth-token",
            "--secret",
            "-storepass:env",
        ];
        let one = [
            "--pin=",
            "-p",
            "-P",
            "-Dpin=",
            "-J-Djavax.net.ssl.keyStorePassword=",
            "pkcs11:token=T?pin-value=",
            "PIN=",
            "pass:",
        ];
        let two = two.iter().map(|option| vec![(*option).to_owned(), secret.to_owned()]);
        two.chain(one.iter().map(|before| vec![format!("{before}{secret}")])).collect()
    }

    proptest! {
        // A capital or digit keeps a secret from spelling an option's name by chance; four letters, from being one.
        #[test]
        fn no_way_to_hand_over_a_secret_shows_it(secret in "-{0,2}[A-Za-z0-9!/._]{4,20}[Q7]", before in "[a-z]{1,9}\\.jar") {
            for way in handed_over(&secret) {
                let mut line = vec!["tool".to_owned(), before.clone()];
                line.extend(way.clone());
                line.push(before.clone());
                // Every argument that is no option counts as a file: the hardest case for a secret after its option.
                let everything_a_file = redact(&line, |path| !path.starts_with('-') && !path.contains(&secret) || path == secret);
                prop_assert!(!everything_a_file.contains(&secret), "{way:?}: {everything_a_file}");
                let start = format!("tool {before} ");
                prop_assert!(everything_a_file.starts_with(&start), "{everything_a_file}");
            }
        }

        #[test]
        fn an_argument_that_is_no_option_and_no_file_is_hidden(secret in "[^-].{3,40}") {
            let line = ["tool".to_owned(), secret.clone()];
            prop_assert_eq!(redact(&line, |_| false), "tool …");
        }

        #[test]
        fn the_line_has_no_control_characters(line in proptest::collection::vec(".{0,20}", 0..6)) {
            prop_assert!(!redact(&line, |_| true).chars().any(char::is_control));
        }
    }
}
