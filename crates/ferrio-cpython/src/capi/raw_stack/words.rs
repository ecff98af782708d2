//! Single words of this process's memory, at addresses that may be wrong.

use ferrio_sys::memory;

/// The word at an address.
pub(in crate::capi) fn word(address: usize) -> Option<usize> {
    let mut bytes = [0; size_of::<usize>()];
    memory::read(address, &mut bytes).ok()?;
    Some(usize::from_ne_bytes(bytes))
}

/// The four bytes at an address.
pub(super) fn half_word(address: usize) -> Option<u32> {
    let mut bytes = [0; 4];
    memory::read(address, &mut bytes).ok()?;
    Some(u32::from_ne_bytes(bytes))
}
