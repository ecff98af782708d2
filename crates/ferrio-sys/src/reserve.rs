//! The process's allocator, with a reserve for the small pieces that cannot be refused.
//!
//! What a program or a peer can grow reserves fallibly. What remains are small pieces, a box for an error or the text of
//! a message, for which the language has no answer but to abort. When the system refuses one of those, it comes from a
//! reserve of fixed blocks in the program's own zeroed memory, which costs nothing until it is touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of one block; no larger piece comes from here.
const BLOCK: usize = 8192;

/// Blocks of the reserve, one bit of a word for each.
const WORDS: usize = 8;
const BLOCKS: usize = WORDS * 32;

/// The system's allocator, and behind it the reserve.
struct Reserved {
    memory: Memory,
    /// Which blocks are lent.
    lent: [AtomicU32; WORDS],
}

#[repr(C, align(4096))]
struct Memory(UnsafeCell<[u8; BLOCK * BLOCKS]>);

// SAFETY: a block belongs to whoever set its bit, and nobody else looks at it.
unsafe impl Sync for Memory {}

#[global_allocator]
static ALLOCATOR: Reserved =
    Reserved { memory: Memory(UnsafeCell::new([0; BLOCK * BLOCKS])), lent: [const { AtomicU32::new(0) }; WORDS] };

impl Reserved {
    /// A free block, if there is one and it is large enough.
    #[cold]
    fn lend(&self, layout: Layout) -> *mut u8 {
        if layout.size() > BLOCK || layout.align() > 4096 {
            return std::ptr::null_mut();
        }
        for (index, bitmap) in self.lent.iter().enumerate() {
            // Acquire: what the former borrower wrote comes before what the next one does.
            let taken = bitmap.fetch_update(Ordering::Acquire, Ordering::Relaxed, |bits| {
                (bits != u32::MAX).then(|| bits | 1 << bits.trailing_ones())
            });
            if let Ok(before) = taken {
                let block = index * 32 + before.trailing_ones() as usize;
                return self.memory.0.get().cast::<u8>().wrapping_add(block * BLOCK);
            }
        }
        std::ptr::null_mut()
    }

    /// Where in the reserve a piece lies, if it is from there.
    #[inline]
    fn place(&self, piece: *mut u8) -> Option<usize> {
        let offset = piece.addr().wrapping_sub(self.memory.0.get().addr());
        (offset < BLOCK * BLOCKS).then_some(offset / BLOCK)
    }

    #[cold]
    fn give_back(&self, block: usize) {
        // Release: see `lend`.
        self.lent[block / 32].fetch_and(!(1 << (block % 32)), Ordering::Release);
    }
}

// SAFETY: a block is lent to one borrower at a time, is as large and as aligned as was asked, and all else is the
// system's allocator.
unsafe impl GlobalAlloc for Reserved {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller's promise.
        let piece = unsafe { System.alloc(layout) };
        if piece.is_null() { self.lend(layout) } else { piece }
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.place(piece) {
            Some(block) => self.give_back(block),
            // SAFETY: by the caller's promise; not from the reserve, hence from the system.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Some(block) = self.place(piece) {
            if size <= BLOCK {
                return piece;
            }
            // SAFETY: by the caller's promise the size is valid for the alignment.
            let layout_after = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
            // SAFETY: not of size zero, by the caller's promise.
            let larger = unsafe { System.alloc(layout_after) };
            if !larger.is_null() {
                // SAFETY: two pieces that do not overlap, each at least as large as the old layout.
                unsafe { larger.copy_from_nonoverlapping(piece, layout.size()) };
                self.give_back(block);
            }
            return larger;
        }
        // SAFETY: by the caller's promise; from the system.
        unsafe { System.realloc(piece, layout, size) }
    }
}
