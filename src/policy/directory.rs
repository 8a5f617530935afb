//! Things with names: found by name in constant time, by number afterwards; a name never stands twice.
//! Numbers are positions in the document, and mean nothing outside one loaded policy.

use super::{
    numbers::Numbers,
    value::{Name, Object},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// A JSON object whose member names are chosen by the author.
pub(super) struct Directory<T> {
    /// Positions in `entries`.
    numbers: Numbers,
    entries: Vec<(Name, T)>,
}

impl<T> Directory<T> {
    pub fn number(&self, name: &str) -> Option<u32> {
        self.number_of(name.as_bytes())
    }

    /// The same where it is probably this number: things that belong together often stand in the same order, and a look
    /// at one place costs less than a search in a large table.
    pub fn number_near(&self, name: &Name, guess: u32) -> Option<u32> {
        let name = name.as_bytes();
        if is_named(&self.entries, guess, name) { Some(guess) } else { self.number_of(name) }
    }

    fn number_of(&self, name: &[u8]) -> Option<u32> {
        self.numbers.find(name, |number| is_named(&self.entries, number, name))
    }

    pub fn get(&self, number: u32) -> Option<&(Name, T)> {
        at(&self.entries, number)
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

    /// Gives a name the next number; false if it has one already.
    fn enter(&mut self, name: &Name) -> bool {
        let name = name.as_bytes();
        let Ok(next) = u32::try_from(self.entries.len()) else { return false };
        self.numbers.find_or_give(name, next, |number| is_named(&self.entries, number, name)) == next
    }
}

fn at<T>(entries: &[(Name, T)], number: u32) -> Option<&(Name, T)> {
    usize::try_from(number).ok().and_then(|position| entries.get(position))
}

fn is_named<T>(entries: &[(Name, T)], number: u32, name: &[u8]) -> bool {
    at(entries, number).is_some_and(|(known, _)| known.as_bytes() == name)
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Directory { numbers: Numbers::default(), entries: Vec::new() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Directory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(name, entry)| (name, entry))).finish()
    }
}

impl<T> Directory<T> {
    pub const EXPECTED: &str = "an object with a member for each name";

    /// Reads the members of an object, each through `keep`.
    pub fn read<'de, W: Deserialize<'de>, A: MapAccess<'de>>(
        mut map: A,
        mut keep: impl FnMut(W) -> T,
    ) -> Result<Directory<T>, A::Error> {
        let mut directory = Directory::default();
        while let Some(name) = map.next_key::<Name>()? {
            if !directory.enter(&name) {
                return Err(A::Error::custom(format!("`{name}` stands here twice; keep one")));
            }
            let Object(words) = map.next_value::<Object<W>>()?;
            directory.entries.push((name, keep(words)));
        }
        Ok(directory)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Directory<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DirectoryVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for DirectoryVisitor<T> {
            type Value = Directory<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Directory::<T>::EXPECTED)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Directory<T>, A::Error> {
                Directory::read(map, |entry| entry)
            }
        }
        deserializer.deserialize_map(DirectoryVisitor(PhantomData))
    }
}
