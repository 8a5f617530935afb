//! The Merkle tree over the lines of the log, as RFC 6962 section 2.1 defines it, kept as the few subtrees that a growing
//! tree needs. Its root says in 32 bytes what the whole log was; a longer log can prove that it only grew.
//! Read next: `checkpoint.rs`.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A node of the tree.
pub type Node = [u8; 32];

/// A tree that grows leaf by leaf. Holds one node per level at most.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tree {
    size: u64,
    /// The perfect subtrees, largest first.
    subtrees: Vec<Node>,
}

impl Tree {
    /// The tree of this many leaves with these perfect subtrees, largest first; none if the numbers do not fit.
    #[must_use]
    pub fn from_subtrees(size: u64, subtrees: Vec<Node>) -> Option<Tree> {
        (u64::from(size.count_ones()) == u64::try_from(subtrees.len()).ok()?).then_some(Tree { size, subtrees })
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its perfect subtrees, largest first.
    #[must_use]
    pub fn subtrees(&self) -> &[Node] {
        &self.subtrees
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut node = hash(0, &[leaf]);
        // Each trailing one of the size is a subtree as large as the new node.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = hash(1, &[&left, &node]);
            }
        }
        self.subtrees.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The tree's head.
    #[must_use]
    pub fn root(&self) -> Node {
        let mut subtrees = self.subtrees.iter().rev();
        match subtrees.next() {
            None => node(digest(&SHA256, b"").as_ref()),
            Some(last) => subtrees.fold(*last, |right, left| hash(1, &[left, &right])),
        }
    }
}

fn hash(prefix: u8, parts: &[&[u8]]) -> Node {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    for part in parts {
        context.update(part);
    }
    node(context.finish().as_ref())
}

fn node(bytes: &[u8]) -> Node {
    let mut node = [0; 32];
    node.copy_from_slice(bytes);
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    /// RFC 6962, section 2.1, word for word.
    fn by_definition(leaves: &[Vec<u8>]) -> Node {
        match leaves {
            [] => node(digest(&SHA256, b"").as_ref()),
            [leaf] => hash(0, &[leaf]),
            leaves => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                hash(1, &[&by_definition(left), &by_definition(right)])
            }
        }
    }

    #[test]
    fn the_roots_of_the_reference_implementation_come_out() {
        // google/certificate-transparency, merkletree test data.
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        assert_eq!(HEXLOWER.encode(&tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(leaf);
            assert_eq!(HEXLOWER.encode(&tree.root()), root);
        }
    }

    proptest! {
        #[test]
        fn a_grown_tree_is_the_tree_of_the_definition(leaves in proptest::collection::vec(any::<[u8; 3]>(), 0..70)) {
            let leaves: Vec<Vec<u8>> = leaves.into_iter().map(Vec::from).collect();
            let mut tree = Tree::default();
            for leaf in &leaves {
                tree.push(leaf);
            }
            prop_assert_eq!(tree.root(), by_definition(&leaves));
            prop_assert_eq!(Tree::from_subtrees(tree.size(), tree.subtrees().to_vec()), Some(tree));
        }
    }

    #[test]
    fn subtrees_that_do_not_fit_the_size_are_no_tree() {
        assert_eq!(Tree::from_subtrees(3, vec![[0; 32]]), None);
        assert_eq!(Tree::from_subtrees(4, vec![[0; 32]]).unwrap().size(), 4);
    }
}
