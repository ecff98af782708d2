//! The process's allocator, with a reserve for small allocations whose failure cannot be handled.
//!
//! Buffers that a program or a peer can grow are reserved fallibly. The rest are small pieces, a box for an error or
//! the text of a message, where the language can only abort. When the system refuses one of those, it comes from a
//! reserve of fixed blocks in the program's own zeroed memory, which costs nothing until it is touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};

/// The size of a block in bytes; no larger piece comes from the reserve.
const BLOCK: usize = 8192;

/// Blocks of the reserve, one bit of a word for each.
const WORDS: usize = 8;
const BLOCKS: usize = WORDS * 32;

/// The system's allocator, with the reserve as its fallback.
struct Reserved {
    memory: Memory,
    /// Which blocks are lent.
    lent: [AtomicU32; WORDS],
}

#[repr(C, align(4096))]
struct Memory(UnsafeCell<[u8; BLOCK * BLOCKS]>);

// SAFETY: only the thread that set a block's bit uses the block.
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
            // Acquire: the writes of the former borrower come before those of the next one.
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

    /// The offset of a piece in the reserve, if it is from there.
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

// SAFETY: a block is lent to one borrower at a time, has the requested size and alignment, and all else is the system's
// allocator.
unsafe impl GlobalAlloc for Reserved {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller guarantees it.
        let piece = unsafe { System.alloc(layout) };
        if piece.is_null() { self.lend(layout) } else { piece }
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.place(piece) {
            Some(block) => self.give_back(block),
            // SAFETY: the caller guarantees it; not from the reserve, hence from the system.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Some(block) = self.place(piece) {
            if size <= BLOCK {
                return piece;
            }
            // SAFETY: the caller guarantees that the size is valid for the alignment.
            let layout_after = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
            // SAFETY: not of size zero, which the caller guarantees.
            let larger = unsafe { System.alloc(layout_after) };
            if !larger.is_null() {
                // SAFETY: two pieces that do not overlap, each at least as large as the old layout.
                unsafe { larger.copy_from_nonoverlapping(piece, layout.size()) };
                self.give_back(block);
            }
            return larger;
        }
        // SAFETY: the caller guarantees it; from the system.
        let moved = unsafe { System.realloc(piece, layout, size) };
        if !moved.is_null() {
            return moved;
        }
        // SAFETY: the caller guarantees that the size is valid for the alignment.
        let lent = self.lend(unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
        if !lent.is_null() {
            // SAFETY: two pieces that do not overlap, each at least as large as what is copied.
            unsafe { lent.copy_from_nonoverlapping(piece, layout.size().min(size)) };
            // SAFETY: from the system, which has left it as it was, and no longer used.
            unsafe { System.dealloc(piece, layout) };
        }
        lent
    }
}
