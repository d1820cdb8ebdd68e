//! A Merkle tree that only grows, after RFC 6962, section 2.1: one hash of 32 bytes that stands for a whole list.
//!
//! Here: the hashes of leaves and nodes, and a frontier, which is all that one must keep of a tree to append to it and
//! to know its root: one hash for each bit that is set in its size. Not here: what a leaf means, and who signs a root.

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// Keeps a leaf from passing for a node.
const LEAF: u8 = 0x00;
/// Keeps a node from passing for a leaf.
const NODE: u8 = 0x01;

/// The hash of a leaf.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([LEAF]).chain_update(bytes).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Bytes out of lower-case hexadecimal, as [`hex`] writes it; none for anything else.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None }).collect()
}

/// All that is kept of a tree: how many leaves it has, and the roots of its perfect subtrees, the largest first.
///
/// ```
/// use heyi_engine::merkle::{Frontier, leaf};
/// let mut tree = Frontier::default();
/// tree.append(leaf(b"one"));
/// let before = tree.root();
/// tree.append(leaf(b"two"));
/// assert_ne!(tree.root(), before);
/// assert_eq!(Frontier::of(tree.size(), &tree.peaks()), Some(tree));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A frontier that was kept: the size, and [`Frontier::peaks`]. None when they do not belong together.
    #[must_use]
    pub fn of(size: u64, peaks: &str) -> Option<Self> {
        let bytes = unhex(peaks)?;
        let (peaks, rest) = bytes.as_chunks::<32>();
        (rest.is_empty() && u32::try_from(peaks.len()) == Ok(size.count_ones())).then(|| Self { size, peaks: peaks.to_vec() })
    }

    /// How many leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The peaks as text, to be kept.
    #[must_use]
    pub fn peaks(&self) -> String {
        self.peaks.iter().map(|peak| hex(peak)).collect()
    }

    /// Appends the hash of a leaf.
    pub fn append(&mut self, leaf: Hash) {
        // As when one is added to a binary number: each bit that is set carries, and joins two subtrees of one size.
        let mut peak = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                peak = node(&left, &peak);
            }
        }
        self.peaks.push(peak);
        self.size += 1;
    }

    /// The root; that of no leaves is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right));
        joined.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Word for word what RFC 6962 says.
    fn naive(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => leaf(one),
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }

    fn tree(leaves: &[Vec<u8>]) -> Frontier {
        let mut tree = Frontier::default();
        leaves.iter().for_each(|bytes| tree.append(leaf(bytes)));
        tree
    }

    /// The leaves and roots with which implementations of RFC 6962 test each other.
    #[test]
    fn roots_are_those_that_others_compute() {
        let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let leaves: Vec<Vec<u8>> = leaves.iter().map(|l| unhex(l).unwrap()).collect();
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (n, root) in roots.iter().enumerate() {
            assert_eq!(hex(&tree(&leaves[..n]).root()), *root, "{n} leaves");
        }
    }

    proptest! {
        #[test]
        fn the_root_is_that_of_the_definition(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..80)) {
            let mut grown = Frontier::default();
            for (n, bytes) in leaves.iter().enumerate() {
                prop_assert_eq!(grown.root(), naive(&leaves[..n]));
                prop_assert!(grown.peaks.len() <= 64 - (n as u64).leading_zeros() as usize);
                // What was put away and taken out again grows on.
                grown = Frontier::of(n as u64, &grown.peaks()).expect("what was kept belongs together");
                grown.append(leaf(bytes));
            }
            prop_assert_eq!(grown.root(), naive(&leaves));
        }

        #[test]
        fn another_list_has_another_root(leaves in prop::collection::vec(any::<[u8; 8]>(), 2..40), at in any::<prop::sample::Index>(), bit in 0usize..64) {
            let leaves: Vec<Vec<u8>> = leaves.iter().map(|l| l.to_vec()).collect();
            let root = tree(&leaves).root();
            let n = at.index(leaves.len());
            let mut flipped = leaves.clone();
            flipped[n][bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(tree(&flipped).root(), root);
            prop_assert_ne!(tree(&leaves[..leaves.len() - 1]).root(), root);
            let mut swapped = leaves.clone();
            swapped.swap(n, (n + 1) % leaves.len());
            prop_assert_eq!(tree(&swapped).root() == root, swapped == leaves);
        }
    }

    #[test]
    fn a_node_does_not_pass_for_a_leaf() {
        let two = tree(&[b"a".to_vec(), b"b".to_vec()]);
        let joined = [leaf(b"a"), leaf(b"b")].concat();
        assert_ne!(two.root(), leaf(&joined));
        // Without the prefixes it would: that is what they are for.
        let plain = |bytes: &[u8]| -> Hash { Sha256::digest(bytes).into() };
        assert_eq!(plain(&joined), Sha256::new().chain_update(leaf(b"a")).chain_update(leaf(b"b")).finalize().as_slice());
    }

    #[test]
    fn what_does_not_belong_together_is_no_frontier() {
        let three = tree(&[vec![1], vec![2], vec![3]]);
        assert_eq!(Frontier::of(3, &three.peaks()), Some(three.clone()));
        assert_eq!(Frontier::of(4, &three.peaks()), None);
        assert_eq!(Frontier::of(3, &three.peaks()[1..]), None);
        assert_eq!(unhex("0G"), None);
        assert_eq!(unhex("AB"), None, "upper case is another text");
    }
}
