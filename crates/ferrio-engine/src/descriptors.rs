//! A map from file descriptors to values.
//!
//! The system hands out the lowest free number, so an array indexed by descriptor is dense. Only numbers beyond
//! [`DENSE`] go to a hash map: without it, one huge number passed by mistake would allocate an array of that length
//! before the system could reject it.

use std::collections::HashMap;

/// Descriptors below this number live in the array.
const DENSE: usize = 1 << 16;

/// A value for each descriptor, the default value if it was never set.
#[derive(Debug)]
pub(crate) struct Descriptors<T> {
    dense: Vec<T>,
    sparse: HashMap<usize, T>,
}

impl<T: Default> Descriptors<T> {
    pub(crate) fn new() -> Self {
        Self { dense: Vec::new(), sparse: HashMap::new() }
    }

    /// The value of `fd`, made if it does not exist.
    pub(crate) fn entry(&mut self, fd: u32) -> &mut T {
        let index = fd as usize;
        if index >= DENSE {
            return self.sparse.entry(index).or_default();
        }
        if index >= self.dense.len() {
            self.dense.resize_with(index + 1, T::default);
        }
        &mut self.dense[index]
    }

    #[inline]
    pub(crate) fn get(&self, fd: u32) -> Option<&T> {
        let index = fd as usize;
        if index < DENSE { self.dense.get(index) } else { self.sparse.get(&index) }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, fd: u32) -> Option<&mut T> {
        let index = fd as usize;
        if index < DENSE { self.dense.get_mut(index) } else { self.sparse.get_mut(&index) }
    }

    /// Descriptors with their values, in no particular order.
    #[expect(clippy::cast_possible_truncation, reason = "each index was made from a descriptor")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let sparse = self.sparse.iter().map(|(index, value)| (*index, value));
        self.dense.iter().enumerate().chain(sparse).map(|(index, value)| (index as u32, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.dense.iter().chain(self.sparse.values())
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.dense.iter_mut().chain(self.sparse.values_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_number_does_not_allocate_an_array() {
        let mut descriptors = Descriptors::new();
        *descriptors.entry(u32::MAX) = 7;
        *descriptors.entry(3) = 5;
        assert_eq!(descriptors.dense.len(), 4);
        assert_eq!(descriptors.get(u32::MAX), Some(&7));
        assert_eq!(descriptors.get_mut(3), Some(&mut 5));
        assert_eq!(descriptors.get(2), Some(&0));
        assert_eq!(descriptors.get(4), None);
        let mut touched: Vec<(u32, u8)> =
            descriptors.iter().filter(|(_, value)| **value != 0).map(|(fd, value)| (fd, *value)).collect();
        touched.sort_unstable();
        assert_eq!(touched, [(3, 5), (u32::MAX, 7)]);
        assert_eq!(descriptors.values_mut().filter(|value| **value != 0).count(), 2);
    }
}
