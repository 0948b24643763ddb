//! A fixed table from names to small numbers: built at load, probed once or twice a look-up, no allocation.

/// Open addressing at most half full. The keys are known at load, so nobody can send input that makes it slow.
#[derive(Debug, Default)]
pub(crate) struct Names {
    mask: usize,
    /// (hash, index into `keys` plus one); 0 = free.
    slots: Box<[(u32, u32)]>,
    keys: Box<[(Box<[u8]>, u32)]>,
}

impl Names {
    /// The first of two equal names wins.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = (&'n str, usize)>) -> Self {
        let keys: Vec<(Box<[u8]>, u32)> = names.into_iter().map(|(n, v)| (n.as_bytes().into(), v as u32)).collect();
        let size = (keys.len() * 2 + 1).next_power_of_two();
        let mut slots = vec![(0, 0); size].into_boxed_slice();
        let mask = size - 1;
        for (i, (key, _)) in keys.iter().enumerate() {
            let hash = hash(key);
            let mut at = hash as usize & mask;
            loop {
                match slots[at] {
                    (_, 0) => {
                        slots[at] = (hash, i as u32 + 1);
                        break;
                    }
                    (_, other) if keys[other as usize - 1].0 == *key => break,
                    _ => at = (at + 1) & mask,
                }
            }
        }
        Self { mask, slots, keys: keys.into_boxed_slice() }
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        let name = name.as_bytes();
        let hash = hash(name);
        let mut at = hash as usize & self.mask;
        loop {
            let (h, index) = *self.slots.get(at)?;
            if index == 0 {
                return None;
            }
            if h == hash {
                let (key, value) = &self.keys[index as usize - 1];
                if **key == *name {
                    return Some(*value as usize);
                }
            }
            at = (at + 1) & self.mask;
        }
    }
}

/// Of the length and the first and last eight bytes, as names of fields rarely differ elsewhere.
#[inline]
fn hash(name: &[u8]) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail)))
    } else {
        (name.iter().fold(0, |v, b| v << 8 | u64::from(*b)), 0)
    };
    let v = (head ^ (name.len() as u64)).wrapping_mul(K) ^ tail.rotate_left(29).wrapping_mul(K);
    (v >> 32) as u32 ^ (v >> 15) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_was_given_and_nothing_else() {
        let names: Vec<String> = (0..500).map(|i| format!("field{}_{i}", "x".repeat(i % 23))).collect();
        let table = Names::new(names.iter().enumerate().map(|(i, n)| (n.as_str(), i)));
        for (i, name) in names.iter().enumerate() {
            assert_eq!(table.get(name), Some(i));
            assert_eq!(table.get(&format!("{name}?")), None);
        }
        assert_eq!(table.get(""), None);
        assert_eq!(Names::default().get("a"), None);
        assert_eq!(Names::new([("", 3), ("a", 1), ("a", 2)]).get("a"), Some(1));
        assert_eq!(Names::new([("", 3)]).get(""), Some(3));
    }
}
