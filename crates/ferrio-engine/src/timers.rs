//! Timers: which of many deadlines comes next.
//!
//! A four-ary implicit heap, ordered by deadline and then by the order of arming. Cancelling is lazy: the owner marks
//! its item and calls [`Timers::note_cancelled`]; the entry leaves when it reaches the top, when it is at the end of
//! the heap's array (arming a far deadline and cancelling it again, as timeouts do, leaves nothing behind), or in a
//! purge when cancelled entries outnumber live ones. So the heap never holds more than `max(64, len / 2)` cancelled
//! entries, unless there is no memory to take them out.
//!
//! Items are returned, never dropped here: dropping one may run code that arms or cancels timers.

use std::cmp::Ordering;
use std::rc::Rc;

/// The number of children of a node: four halve the depth of a binary heap, and four entries share few cache lines.
const ARITY: usize = 4;

/// How many cancelled entries are tolerated, however few live ones there are.
const TOLERATED: usize = 64;

/// An item that can be cancelled while it waits in [`Timers`].
pub trait Cancellable {
    /// Whether the item has been cancelled; once true it stays true.
    fn is_cancelled(&self) -> bool;
}

impl<T: Cancellable> Cancellable for Rc<T> {
    fn is_cancelled(&self) -> bool {
        (**self).is_cancelled()
    }
}

/// An instant in seconds on the loop's clock, whatever clock that is; infinity is a deadline that never comes.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub f64);

impl Deadline {
    /// A deadline that never comes.
    pub const NEVER: Self = Self(f64::INFINITY);

    /// An integer that orders like the deadline: `f64::total_cmp` with both zeros equal, in one cheap comparison. NaN
    /// is due at once: no time is before it.
    fn rank(self) -> i64 {
        if self.0.is_nan() {
            return Self(f64::NEG_INFINITY).rank();
        }
        // Adding zero turns -0.0 into 0.0: the two are equal, as in Python.
        flip((self.0 + 0.0).to_bits().cast_signed())
    }

    /// The deadline that has this rank.
    fn of_rank(rank: i64) -> Self {
        Self(f64::from_bits(flip(rank).cast_unsigned()))
    }
}

/// Negative floats order backwards when read as integers: flips all their bits but the sign. Its own inverse.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Deadline {}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[derive(Debug)]
struct Entry<T> {
    /// Orders like the deadline.
    rank: i64,
    /// Unique and increasing: of equal deadlines the one armed first comes first.
    sequence: u64,
    item: T,
}

impl<T> Entry<T> {
    /// Deadline and sequence as one number, which compares without a branch.
    #[inline]
    fn key(&self) -> u128 {
        u128::from((self.rank ^ i64::MIN).cast_unsigned()) << 64 | u128::from(self.sequence)
    }

    #[inline]
    fn before(&self, other: &Self) -> bool {
        self.key() < other.key()
    }
}

/// Whether `items` has space for one more, or memory to make some.
#[inline]
fn has_place<T>(items: &mut Vec<T>) -> bool {
    items.len() < items.capacity() || items.try_reserve(1).is_ok()
}

/// A set of items, each with a deadline.
#[derive(Debug)]
pub struct Timers<T> {
    /// A heap: no entry comes before its parent, which is at `(index - 1) / ARITY`.
    heap: Vec<Entry<T>>,
    /// The sequence number of the next entry.
    sequence: u64,
    /// How many entries of `heap` are cancelled, as counted by [`Timers::note_cancelled`].
    cancelled: usize,
}

impl<T: Cancellable> Timers<T> {
    /// No timers.
    #[must_use]
    pub const fn new() -> Self {
        Self { heap: Vec::new(), sequence: 0, cancelled: 0 }
    }

    /// Reserves space for one more item; if it returns true, arming the item does not fail.
    #[inline]
    #[must_use]
    pub fn try_reserve(&mut self) -> bool {
        self.heap.len() < self.heap.capacity() || self.heap.try_reserve(1).is_ok()
    }

    /// Whether `pop_due` has an item to return.
    #[must_use]
    pub fn is_due(&self, end: Deadline) -> bool {
        self.heap.first().is_some_and(|first| first.rank < end.rank())
    }

    /// Adds `item`, to be due at `deadline`.
    #[inline]
    pub fn arm(&mut self, deadline: Deadline, item: T) {
        let entry = Entry { rank: deadline.rank(), sequence: self.sequence, item };
        self.sequence += 1;
        self.heap.push(entry);
        self.sift_up(self.heap.len() - 1);
    }

    /// Records that one item, still in here, was just cancelled; call it exactly once for each.
    ///
    /// Cancelled items that leave because of it are moved to `graveyard`, as long as there is memory for that.
    #[inline]
    pub fn note_cancelled(&mut self, graveyard: &mut Vec<T>) {
        self.cancelled += 1;
        while self.heap.last().is_some_and(|last| last.item.is_cancelled()) && has_place(graveyard) {
            self.cancelled = self.cancelled.saturating_sub(1);
            graveyard.extend(self.heap.pop().map(|last| last.item));
        }
        if self.cancelled > TOLERATED.max(self.heap.len() / 2) {
            self.purge(graveyard);
        }
    }

    /// Takes out the first item whose deadline lies before `end`, cancelled or not.
    ///
    /// `end` is asyncio's `end_time`: now plus the clock's resolution. An item that is returned cancelled is to be
    /// dropped.
    #[inline]
    pub fn pop_due(&mut self, end: Deadline) -> Option<T> {
        if self.heap.first()?.rank >= end.rank() {
            return None;
        }
        self.pop()
    }

    /// The first deadline of an item that is not cancelled; cancelled ones before it are moved to `graveyard`. Without
    /// memory for that it may be the deadline of one that is.
    #[inline]
    pub fn next_deadline(&mut self, graveyard: &mut Vec<T>) -> Option<Deadline> {
        loop {
            let first = self.heap.first()?;
            if !first.item.is_cancelled() || !has_place(graveyard) {
                return Some(Deadline::of_rank(first.rank));
            }
            graveyard.extend(self.pop());
        }
    }

    /// Takes out all items, in no order, so that the caller can drop them while nothing borrows the timers. Sequence
    /// numbers begin anew.
    #[must_use = "dropping the items here is what this method is there to avoid"]
    pub fn take_all(&mut self) -> Vec<T> {
        self.cancelled = 0;
        self.sequence = 0;
        std::mem::take(&mut self.heap).into_iter().map(|entry| entry.item).collect()
    }

    /// How many items are in here, cancelled ones included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is in here, not even something cancelled.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// How many items are in here and not cancelled.
    #[must_use]
    pub fn live(&self) -> usize {
        self.heap.len() - self.cancelled
    }

    /// The items, cancelled ones included, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|entry| &entry.item)
    }

    /// The number that the next item gets: numbers increase with the order of arming.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// The items that are due up to `end` and not cancelled, with deadline and number, in no order.
    pub fn armed_up_to(&self, end: Deadline) -> impl Iterator<Item = (Deadline, u64, &T)> {
        let armed = move |entry: &&Entry<T>| entry.rank <= end.rank() && !entry.item.is_cancelled();
        self.heap.iter().filter(armed).map(|entry| (Deadline::of_rank(entry.rank), entry.sequence, &entry.item))
    }

    /// Takes out the item with this number, wherever it is.
    pub fn take(&mut self, sequence: u64) -> Option<T> {
        let index = self.heap.iter().position(|entry| entry.sequence == sequence)?;
        let taken = self.heap.swap_remove(index);
        if index < self.heap.len() {
            self.sift_down(index);
            self.sift_up(index);
        }
        if self.cancelled > 0 && taken.item.is_cancelled() {
            self.cancelled = self.cancelled.saturating_sub(1);
        }
        Some(taken.item)
    }

    fn pop(&mut self) -> Option<T> {
        if self.heap.is_empty() {
            return None;
        }
        let first = self.heap.swap_remove(0);
        self.sift_down(0);
        if self.cancelled > 0 && first.item.is_cancelled() {
            self.cancelled = self.cancelled.saturating_sub(1);
        }
        Some(first.item)
    }

    #[cold]
    fn purge(&mut self, graveyard: &mut Vec<T>) {
        if graveyard.try_reserve(self.cancelled.min(self.heap.len())).is_err() {
            return;
        }
        graveyard.extend(self.heap.extract_if(.., |entry| entry.item.is_cancelled()).map(|entry| entry.item));
        self.cancelled = 0;
        if self.heap.len() > 1 {
            for index in (0..=(self.heap.len() - 2) / ARITY).rev() {
                self.sift_down(index);
            }
        }
    }

    fn sift_up(&mut self, mut index: usize) {
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if !self.heap[index].before(&self.heap[parent]) {
                return;
            }
            self.heap.swap(index, parent);
            index = parent;
        }
    }

    fn sift_down(&mut self, mut index: usize) {
        let heap = self.heap.as_mut_slice();
        while let Some(child) = first_child(heap, index) {
            if !heap[child].before(&heap[index]) {
                return;
            }
            heap.swap(index, child);
            index = child;
        }
    }
}

/// The child of the node at `index` that comes before its siblings, if there are children.
#[inline]
fn first_child<T>(heap: &[Entry<T>], index: usize) -> Option<usize> {
    let children = index * ARITY + 1;
    if let Some([a, b, c, d]) = heap.get(children..children + ARITY) {
        // A small tournament, without branches that the data would mispredict.
        let (left, left_at) = if b.before(a) { (b, 1) } else { (a, 0) };
        let (right, right_at) = if d.before(c) { (d, 3) } else { (c, 2) };
        return Some(children + if right.before(left) { right_at } else { left_at });
    }
    (children..heap.len()).min_by_key(|child| heap[*child].key())
}

impl<T: Cancellable> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}
