//! Who is in which group. Groups may hold groups; none may hold itself, at whatever distance.
//! Iterative throughout, since the depth of nesting is the author's choice.

use super::{Found, Misfits, find};
use crate::policy::{
    directory::Directory,
    model::{Group, User},
};
use std::collections::{BTreeSet, HashMap, hash_map::Entry};

/// Groups stand at most this far inside one another.
const MAX_DEPTH: usize = 32;

/// The groups of each user that is in any.
pub(super) struct Membership {
    of_user: HashMap<u32, BTreeSet<u32>>,
}

impl Membership {
    pub fn of(users: &Directory<User>, groups: &Directory<Group>, misfits: &mut Misfits) -> Membership {
        let mut parents: Vec<Vec<u32>> = vec![Vec::new(); groups.len()];
        let mut direct: Vec<(u32, u32)> = Vec::new();
        for (group, name, entry) in groups.iter() {
            for (position, text) in entry.members.iter().enumerate() {
                match find(text, users, groups) {
                    Ok(Found::User(user)) => direct.push((user, group)),
                    Ok(Found::Group(inner)) => {
                        if let Some(parents) = at_mut(&mut parents, inner) {
                            parents.push(group);
                        }
                    }
                    Err((message, hint)) => {
                        misfits.add(&["groups", name, "members", &position.to_string()], message, hint);
                    }
                }
            }
        }
        let mut above = Vec::with_capacity(groups.len());
        for (group, name, _) in groups.iter() {
            match everything_above(&parents, group) {
                Ok(found) => above.push(found),
                Err(knot) => {
                    let (message, hint) = knot.in_words(groups);
                    misfits.add(&["groups", name, "members"], message, Some(hint));
                    return Membership { of_user: HashMap::new() };
                }
            }
        }
        let mut of_user: HashMap<u32, BTreeSet<u32>> = HashMap::new();
        for (user, group) in direct {
            let entry = of_user.entry(user).or_default();
            entry.insert(group);
            entry.extend(at(&above, group).into_iter().flatten());
        }
        Membership { of_user }
    }

    pub fn of_user(&self, user: u32) -> Box<[u32]> {
        self.of_user.get(&user).map(|groups| groups.iter().copied().collect()).unwrap_or_default()
    }
}

/// Why nobody can say who is in a group.
enum Knot {
    /// The group is in itself; each group holds the next.
    Circle(Vec<u32>),
    TooDeep,
}

impl Knot {
    fn in_words(&self, groups: &Directory<Group>) -> (String, String) {
        match self {
            Knot::Circle(circle) => {
                let names: Vec<&str> =
                    circle.iter().filter_map(|group| groups.get(*group)).map(|(name, _)| &**name).collect();
                (format!("the group is in itself: {}", names.join(" holds ")), "take one of them out".to_owned())
            }
            Knot::TooDeep => {
                let message = format!("the group stands more than {MAX_DEPTH} deep in other groups");
                (message, "put members into the outer groups directly".to_owned())
            }
        }
    }
}

/// Every group that holds this one, at any distance; nearest first, level by level.
fn everything_above(parents: &[Vec<u32>], group: u32) -> Result<BTreeSet<u32>, Knot> {
    let mut held_by: HashMap<u32, u32> = HashMap::new();
    let mut level = vec![group];
    for _ in 0..=MAX_DEPTH {
        let mut next = Vec::new();
        for &inner in &level {
            for &outer in at(parents, inner).into_iter().flatten() {
                if outer == group {
                    let below = std::iter::successors(Some(inner), |step| held_by.get(step).copied());
                    return Err(Knot::Circle(
                        std::iter::once(group).chain(below.take_while(|step| *step != group)).chain([group]).collect(),
                    ));
                }
                if let Entry::Vacant(entry) = held_by.entry(outer) {
                    entry.insert(inner);
                    next.push(outer);
                }
            }
        }
        if next.is_empty() {
            return Ok(held_by.into_keys().collect());
        }
        level = next;
    }
    Err(Knot::TooDeep)
}

fn at<T>(list: &[T], number: u32) -> Option<&T> {
    usize::try_from(number).ok().and_then(|position| list.get(position))
}

fn at_mut<T>(list: &mut [T], number: u32) -> Option<&mut T> {
    usize::try_from(number).ok().and_then(|position| list.get_mut(position))
}
