//! A hash for addresses and for numbers of our own.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes an address by one multiplication: the keys are no input of anybody's.
#[derive(Default)]
pub struct AddressHash(u64);

/// Makes them.
pub type AddressHasher = BuildHasherDefault<AddressHash>;

impl Hasher for AddressHash {
    #[inline]
    fn write_usize(&mut self, address: usize) {
        self.write_u64(address as u64);
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
