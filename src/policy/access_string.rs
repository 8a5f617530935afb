//! The access control strings of the model `access_control`: paths that inherit by segment. Every string of the version
//! two tables, every version one pair and our own area `/code_signing/` are known by name; anything else grants nothing.
//! Source: Keyfactor Command, Security Role Permissions; the tables stand in `data/`.
//! Read next: `access/access_control.rs`.

use super::value::nearest;
use once_cell::sync::Lazy;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// A path: segments in small letters, an integer id last if there is one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Path(Box<[Box<str>]>);

impl Path {
    /// Leading and trailing slashes and capitals do not matter. None for an empty segment.
    pub fn read(text: &str) -> Option<Path> {
        let text = text.trim();
        let text = text.strip_prefix('/').unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Some(Path(Box::default()));
        }
        let segments = text.split('/').map(|segment| {
            let fits = !segment.is_empty() && !segment.contains(char::is_whitespace);
            fits.then(|| segment.to_ascii_lowercase().into_boxed_str())
        });
        segments.collect::<Option<Box<[_]>>>().map(Path)
    }

    /// A grant covers a request if its segments are the first ones of the request.
    pub fn covers(&self, request: &Path) -> bool {
        request.0.starts_with(&self.0)
    }

    pub fn segments(&self) -> &[Box<str>] {
        &self.0
    }

    /// The path with this id at its end.
    pub fn with_id(&self, id: u32) -> Path {
        let id = id.to_string().into_boxed_str();
        Path(self.0.iter().cloned().chain([id]).collect())
    }

    fn without_last(&self) -> Option<(Path, &str)> {
        let (last, rest) = self.0.split_last()?;
        Some((Path(rest.into()), last))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        for segment in &self.0 {
            write!(f, "{segment}/")?;
        }
        Ok(())
    }
}

/// Why a string grants nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flaw {
    pub what: String,
    pub fix: String,
}

#[derive(Deserialize)]
struct Table<T> {
    rows: Vec<T>,
}

#[derive(Deserialize)]
struct StringRow {
    string: String,
    scope: String,
    portal: String,
}

#[derive(Deserialize)]
struct PairRow {
    pair: String,
    strings: Vec<String>,
}

/// Every known string and pair.
#[derive(Default)]
pub(super) struct Catalogue {
    /// Where the portal shows it.
    strings: HashMap<Path, String>,
    /// The strings that take an id, and what the id names.
    with_id: HashMap<Path, String>,
    pairs: HashMap<String, (String, Vec<Path>)>,
}

/// The tables, read once.
pub(super) static CATALOGUE: Lazy<Catalogue> = Lazy::new(Catalogue::of_tables);

impl Catalogue {
    fn of_tables() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for table in [include_str!("data/keyfactor-v2-strings.json"), include_str!("data/code-signing-strings.json")] {
            let Ok(table) = serde_json::from_str::<Table<StringRow>>(table) else { continue };
            for row in table.rows {
                let Some(path) = Path::read(&row.string) else { continue };
                match path.without_last() {
                    Some((before, "#")) => drop(catalogue.with_id.insert(before, row.scope)),
                    _ => drop(catalogue.strings.insert(path, row.portal)),
                }
            }
        }
        if let Ok(table) = serde_json::from_str::<Table<PairRow>>(include_str!("data/keyfactor-v1-to-v2.json")) {
            for row in table.rows {
                let strings = row.strings.iter().filter_map(|string| Path::read(string)).collect();
                catalogue.pairs.insert(pair_key(&row.pair), (row.pair, strings));
            }
        }
        catalogue
    }

    /// What an entry of a role grants: the path of a string, or the paths that a pair stands for.
    pub fn grants(&self, text: &str) -> Result<Vec<Path>, Flaw> {
        if text.contains(':') {
            let pair = self.pairs.get(&pair_key(text)).map(|(_, strings)| strings.clone());
            return pair.ok_or_else(|| self.unknown(text, self.pairs.values().map(|(pair, _)| pair.as_str())));
        }
        self.path(text).map(|path| vec![path])
    }

    /// A string of the tables, with an id where it takes one.
    pub fn path(&self, text: &str) -> Result<Path, Flaw> {
        let shown = text.escape_debug();
        let path = Path::read(text).ok_or_else(|| Flaw {
            what: format!("`{shown}` is not an access control string: it has an empty segment or white space"),
            fix: "write it as in `/certificates/collections/read/5/`".to_owned(),
        })?;
        if path.segments().is_empty() || self.strings.contains_key(&path) {
            return Ok(path);
        }
        let Some((before, last)) = path.without_last() else { return Err(self.unknown_path(text)) };
        let number = last.bytes().all(|byte| byte.is_ascii_digit());
        let (known, takes_id) = (self.strings.contains_key(&before), self.with_id.contains_key(&before));
        if last == "#" {
            return Err(Flaw {
                what: format!("`{shown}` has a literal `#`, which stands for an id in the tables"),
                fix: if takes_id { "write the id itself, such as 5".to_owned() } else { format!("write `{before}`") },
            });
        }
        if number && takes_id {
            let canonical = last.parse::<u32>().ok().filter(|id| id.to_string() == last);
            return canonical.map(|_| path.clone()).ok_or_else(|| Flaw {
                what: format!("`{last}` is not an id: ids are whole numbers below 2^32 without leading zeros"),
                fix: "write the id as the policy has it".to_owned(),
            });
        }
        if number && known {
            let fix = format!("write `{before}`");
            return Err(Flaw { what: format!("`{shown}` has an id, and `{before}` takes none"), fix });
        }
        Err(self.unknown_path(text))
    }

    /// What the id at the end of this string names; none for a string that takes none.
    pub fn id_names(&self, path: &Path) -> Option<&str> {
        self.with_id.get(path).map(String::as_str)
    }

    /// The known strings that a broad one silently includes.
    pub fn included(&self, grant: &Path) -> Vec<&Path> {
        let mut included: Vec<&Path> =
            self.strings.keys().filter(|path| grant.covers(path) && *path != grant).collect();
        included.sort();
        included
    }

    fn unknown_path(&self, text: &str) -> Flaw {
        let wanted = Path::read(text).map_or_else(|| text.to_owned(), |path| path.to_string());
        let known: Vec<String> =
            self.strings.keys().map(ToString::to_string).collect::<HashSet<_>>().into_iter().collect();
        let mut sorted: Vec<&str> = known.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        self.unknown(&wanted, sorted.into_iter())
    }

    fn unknown<'a>(&self, text: &str, known: impl Iterator<Item = &'a str>) -> Flaw {
        let fix = match nearest(text, known) {
            Some(near) => format!("did you mean `{near}`"),
            None => "docs/access-control-strings.md has them all".to_owned(),
        };
        Flaw { what: format!("`{}` is not an access control string, so it grants nothing", text.escape_debug()), fix }
    }
}

/// Spaces and capitals do not matter in a pair.
fn pair_key(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

/// A verb of our own area, on signers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Read,
    Sign,
    Request,
    Approve,
    Suspend,
    Modify,
}

impl Verb {
    pub const ALL: [Verb; 6] = [Verb::Read, Verb::Sign, Verb::Request, Verb::Approve, Verb::Suspend, Verb::Modify];

    pub const fn name(self) -> &'static str {
        match self {
            Verb::Read => "read",
            Verb::Sign => "sign",
            Verb::Request => "request",
            Verb::Approve => "approve",
            Verb::Suspend => "suspend",
            Verb::Modify => "modify",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Verb::Read => 1,
            Verb::Sign => 2,
            Verb::Request => 4,
            Verb::Approve => 8,
            Verb::Suspend => 16,
            Verb::Modify => 32,
        }
    }
}

/// What a role's strings say about one of our areas: all verbs at once, so that a signature compares no text.
#[derive(Clone, Default, Debug)]
pub(super) struct Area {
    everywhere: u8,
    /// By id, ascending.
    on: Box<[(u32, u8)]>,
}

impl Area {
    /// What these grants give on `signers` or `releases`.
    pub fn of(area: &str, grants: &[Path]) -> Area {
        let mut everywhere = 0;
        let mut on: std::collections::BTreeMap<u32, u8> = std::collections::BTreeMap::new();
        for verb in Verb::ALL {
            let Some(path) = Path::read(&format!("/code_signing/{area}/{}/", verb.name())) else { continue };
            for grant in grants {
                if grant.covers(&path) {
                    everywhere |= verb.bit();
                } else if let Some((before, last)) = grant.without_last()
                    && before == path
                    && let Ok(id) = last.parse()
                {
                    *on.entry(id).or_default() |= verb.bit();
                }
            }
        }
        Area { everywhere, on: on.into_iter().collect() }
    }

    /// Whether the verb is given on the one with this id; without an id, on all of them.
    pub fn gives(&self, verb: Verb, id: Option<u32>) -> bool {
        self.verbs(id) & verb.bit() != 0
    }

    /// Whether any verb is given.
    pub fn gives_any(&self, id: Option<u32>) -> bool {
        self.verbs(id) != 0
    }

    fn verbs(&self, id: Option<u32>) -> u8 {
        let found = id.and_then(|id| self.on.binary_search_by_key(&id, |(known, _)| *known).ok());
        self.everywhere | found.and_then(|position| self.on.get(position)).map_or(0, |(_, verbs)| *verbs)
    }
}

#[cfg(test)]
mod tests;
