//! Numbers of texts, found in constant time. The texts are kept elsewhere: whoever keeps them says which one a number
//! stands for, and gives the numbers in the order in which they come. Read next: `directory.rs`, for things with names.

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use std::hash::BuildHasher;

#[derive(Default, Debug)]
pub(super) struct Numbers {
    hasher: DefaultHashBuilder,
    /// Each after the hash of its text, so that growing looks at no text again.
    numbers: HashTable<(u64, u32)>,
}

impl Numbers {
    /// The number of this text, if it has one.
    pub fn find(&self, text: &[u8], is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.numbers.find(self.hasher.hash_one(text), |(_, number)| is_it(*number));
        found.map(|(_, number)| *number)
    }

    /// The number of this text; `next`, if it had none.
    pub fn find_or_give(&mut self, text: &[u8], next: u32, is_it: impl Fn(u32) -> bool) -> u32 {
        let hash = self.hasher.hash_one(text);
        match self.numbers.entry(hash, |(_, number)| is_it(*number), |(hash, _)| *hash) {
            Entry::Occupied(place) => place.get().1,
            Entry::Vacant(place) => {
                place.insert((hash, next));
                next
            }
        }
    }
}
