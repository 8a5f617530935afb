//! Things with names: found by name in constant time, by number afterwards; a name never stands twice.
//! Numbers are positions in the document, and mean nothing outside one loaded policy.

use super::value::{Name, Object};
use hashbrown::HashMap;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// A JSON object whose member names are chosen by the author.
#[derive(Debug)]
pub(super) struct Directory<T> {
    numbers: HashMap<Name, u32>,
    entries: Vec<(Name, T)>,
}

impl<T> Directory<T> {
    pub fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub fn get(&self, number: u32) -> Option<&(Name, T)> {
        usize::try_from(number).ok().and_then(|position| self.entries.get(position))
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let position = usize::try_from(number).ok()?;
        self.entries.get_mut(position).map(|(_, entry)| entry)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &**name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Name, &T)> {
        (0_u32..).zip(&self.entries).map(|(number, (name, entry))| (number, name, entry))
    }

    /// The same names and numbers, other contents.
    pub fn map<U>(self, mut change: impl FnMut(u32, &Name, T) -> U) -> Directory<U> {
        let entries = (0_u32..).zip(self.entries).map(|(number, (name, entry))| {
            let entry = change(number, &name, entry);
            (name, entry)
        });
        Directory { entries: entries.collect(), numbers: self.numbers }
    }

    fn insert(&mut self, name: Name, entry: T) -> bool {
        let Ok(number) = u32::try_from(self.entries.len()) else { return false };
        let is_new = self.numbers.insert(name.clone(), number).is_none();
        self.entries.push((name, entry));
        is_new
    }
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Directory { numbers: HashMap::new(), entries: Vec::new() }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Directory<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DirectoryVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for DirectoryVisitor<T> {
            type Value = Directory<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a member for each name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Directory<T>, A::Error> {
                let mut directory = Directory::default();
                while let Some(name) = map.next_key::<Name>()? {
                    if directory.numbers.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` stands here twice; keep one")));
                    }
                    let Object(entry) = map.next_value::<Object<T>>()?;
                    directory.insert(name, entry);
                }
                Ok(directory)
            }
        }
        deserializer.deserialize_map(DirectoryVisitor(PhantomData))
    }
}
