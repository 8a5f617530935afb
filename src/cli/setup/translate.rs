//! An advisory configuration as an enforced one: `mode`, `listen`, who is identified how, and where the HSM's PINs come
//! from. Lines that say something else stay as they are, comments included; the result is read back before it counts.

use super::plan::MARK;

/// What an enforced configuration says otherwise.
pub struct Wanted<'w> {
    /// The sockets.
    pub listen: &'w [String],
    /// Of the tokens, each with the name of its credential.
    pub credentials: &'w [(String, String)],
    /// `[identity]` `sources`.
    pub sources: &'w [&'w str],
}

/// The text with these lines in place of those there are. A document whose tables stand on one line is left as it is
/// there; whoever reads the result notices.
pub fn enforced(text: &str, wanted: &Wanted<'_>) -> String {
    let mut lines = vec![format!("# {MARK} enforced`, from the configuration before it.")];
    lines.push("mode = \"enforced\"".to_owned());
    lines.push(listen(wanted.listen));
    let mut table = String::new();
    let mut identity = false;
    for line in text.lines().filter(|line| !line.contains(MARK)) {
        if let Some(header) = header(line) {
            table = header;
            identity |= table == "identity";
            lines.push(line.to_owned());
            if table == "identity" {
                lines.push(sources(wanted.sources));
            }
            if let Some(credential) = credential_of(&table, wanted) {
                lines.push(format!("pin_credential = \"{credential}\""));
            }
            continue;
        }
        let replaced = match key(line) {
            Some("mode" | "listen") => table.is_empty(),
            Some("sources") => table == "identity",
            Some("pin_file" | "pin_env" | "pin_credential") => credential_of(&table, wanted).is_some(),
            _ => false,
        };
        if !replaced {
            lines.push(line.to_owned());
        }
    }
    if !identity {
        lines.extend([String::new(), "[identity]".to_owned(), sources(wanted.sources)]);
    }
    lines.join("\n") + "\n"
}

fn listen(sockets: &[String]) -> String {
    match sockets {
        [one] => format!("listen = \"{one}\""),
        several => format!("listen = [{}]", list(several.iter().map(String::as_str))),
    }
}

fn sources(sources: &[&str]) -> String {
    format!("sources = [{}]", list(sources.iter().copied()))
}

fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// The name in a table's header, without quotes.
fn header(line: &str) -> Option<String> {
    let inside = line.trim_start().strip_prefix('[')?;
    let (name, _) = inside.split_once(']')?;
    Some(name.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect::<Vec<_>>().join("."))
}

/// The key of a line `key = value`.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    Some(key.trim()).filter(|key| !key.starts_with('#'))
}

fn credential_of<'w>(table: &str, wanted: &Wanted<'w>) -> Option<&'w str> {
    let token = table.strip_prefix("backend.tokens.")?;
    wanted.credentials.iter().find(|(name, _)| name == token).map(|(_, credential)| credential.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# ours\nmode = \"advisory\"\npolicy = \"/etc/signgate/policy.bundle\" # signed\n\n[backend]\nmodule = \"x\"\n\n\
                       [backend.tokens.prod]\nlabel = \"production\"\npin_file = \"/etc/signgate/prod.pin\"\n\n\
                       [backend.tokens.\"test.2\"]\nserial = \"1\"\npin_env = \"PIN\"\n";

    fn wanted<'w>(listen: &'w [String], credentials: &'w [(String, String)]) -> Wanted<'w> {
        Wanted { listen, credentials, sources: &["peercred", "service_token"] }
    }

    #[test]
    fn only_what_enforced_mode_says_otherwise_changes() {
        let listen = ["/run/signgate/signgate.sock".to_owned()];
        let credentials = [("prod", "hsm_prod"), ("test.2", "hsm_test.2")];
        let credentials = credentials.map(|(token, credential)| (token.to_owned(), credential.to_owned()));
        let new = enforced(OLD, &wanted(&listen, &credentials));
        let expected = "# Written by `signgate setup enforced`, from the configuration before it.\nmode = \"enforced\"\n\
                        listen = \"/run/signgate/signgate.sock\"\n# ours\npolicy = \"/etc/signgate/policy.bundle\" # signed\n\n\
                        [backend]\nmodule = \"x\"\n\n[backend.tokens.prod]\npin_credential = \"hsm_prod\"\nlabel = \"production\"\n\n\
                        [backend.tokens.\"test.2\"]\npin_credential = \"hsm_test.2\"\nserial = \"1\"\n\n\
                        [identity]\nsources = [\"peercred\", \"service_token\"]\n";
        assert_eq!(new, expected);
        assert_eq!(enforced(&new, &wanted(&listen, &credentials)), expected, "a second time changes nothing");
    }

    #[test]
    fn several_sockets_are_a_list_and_the_table_of_sources_is_kept() {
        let listen = ["/run/signgate/signgate.sock".to_owned(), "/run/signgate/signgate-b.sock".to_owned()];
        let old = format!("{OLD}[identity]\nsources = [\"os_user\"]\nother = 1\n");
        let new = enforced(&old, &wanted(&listen, &[]));
        assert!(
            new.contains("listen = [\"/run/signgate/signgate.sock\", \"/run/signgate/signgate-b.sock\"]\n"),
            "{new}"
        );
        assert!(new.ends_with("[identity]\nsources = [\"peercred\", \"service_token\"]\nother = 1\n"), "{new}");
        assert!(new.contains("pin_file ="), "no credential was given for it");
    }
}
