//! The queue.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ferrio_engine::{Done, QueueState, Side};

use crate::locks::Event;
use crate::locks::wait_slot::WaitSlot;

use super::operations::{Get, Put};
use super::storage::{Fifo, Heap, Stack, Storage};

/// A queue whose order `S` says; see [`Queue`], [`PriorityQueue`] and [`LifoQueue`], which are used in the same way.
pub struct OrderedQueue<T, S> {
    items: RefCell<S>,
    state: RefCell<QueueState<Rc<WaitSlot>>>,
    limit: usize,
    /// Set while no item is unfinished.
    finished: Event,
    item: std::marker::PhantomData<fn(T) -> T>,
}

/// A queue with a limit: `put` waits while it is full, `get` while it is empty, both in the order they came.
///
/// ```
/// use std::rc::Rc;
/// use ferrio::Queue;
///
/// ferrio::run(async {
///     let queue = Rc::new(Queue::bounded(2));
///     let producer = Rc::clone(&queue);
///     let task = ferrio::spawn(async move {
///         for number in 0..5 {
///             producer.put(number).await.expect("it is open");
///         }
///         producer.shutdown(false);
///     });
///     let mut received = Vec::new();
///     while let Ok(number) = queue.get().await {
///         received.push(number);
///         queue.task_done();
///     }
///     queue.join().await;
///     assert_eq!(received, [0, 1, 2, 3, 4]);
///     task.await.expect("it has a result");
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub type Queue<T> = OrderedQueue<T, Fifo<T>>;

/// A queue that returns the least item first.
///
/// ```
/// ferrio::run(async {
///     let queue = ferrio::PriorityQueue::unbounded();
///     for number in [3, 1, 2] {
///         queue.try_put(number).expect("there is no limit");
///     }
///     assert_eq!(queue.get().await, Ok(1));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub type PriorityQueue<T> = OrderedQueue<T, Heap<T>>;

/// A queue that returns the last item first.
///
/// ```
/// ferrio::run(async {
///     let queue = ferrio::LifoQueue::unbounded();
///     queue.try_put("first").expect("there is no limit");
///     queue.try_put("last").expect("there is no limit");
///     assert_eq!(queue.get().await, Ok("last"));
/// })?;
/// # Ok::<(), ferrio::RunError>(())
/// ```
pub type LifoQueue<T> = OrderedQueue<T, Stack<T>>;

/// The queue was shut down, and is empty if this comes from `get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueShutDown;

/// The queue was shut down; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PutError<T>(pub T);

/// Why an item could not be put at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPutError<T> {
    /// There is no place; the item comes back.
    Full(T),
    /// The queue was shut down; the item comes back.
    ShutDown(T),
}

/// Why no item could be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryGetError {
    /// There is none.
    Empty,
    /// There is none, and the queue was shut down.
    ShutDown,
}

impl<T, S: Storage<T> + Default> OrderedQueue<T, S> {
    /// An empty queue for at most `limit` items.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0: asyncio's queues without a limit are [`OrderedQueue::unbounded`].
    #[must_use]
    pub fn bounded(limit: usize) -> Self {
        assert!(limit > 0, "a queue has place for at least one item");
        let finished = Event::new();
        finished.set();
        let (items, state) = (RefCell::new(S::default()), RefCell::default());
        Self { items, state, limit, finished, item: std::marker::PhantomData }
    }

    /// An empty queue without a limit.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }
}

impl<T, S: Storage<T>> OrderedQueue<T, S> {
    /// Waits for a place, and adds `item`.
    ///
    /// # Errors
    ///
    /// The returned future fails if the queue was shut down, and returns the item.
    pub const fn put(&self, item: T) -> Put<'_, T, S> {
        Put::new(self, item)
    }

    /// Waits for an item, and takes it out.
    ///
    /// # Errors
    ///
    /// The returned future fails if the queue was shut down and is empty.
    pub const fn get(&self) -> Get<'_, T, S> {
        Get::new(self)
    }

    /// Adds `item` if there is a place: asyncio's `put_nowait`.
    ///
    /// # Errors
    ///
    /// Fails if the queue is full or was shut down, and returns the item.
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        if self.state.borrow().is_shut_down {
            return Err(TryPutError::ShutDown(item));
        }
        if self.is_full() {
            return Err(TryPutError::Full(item));
        }
        self.items.borrow_mut().put(item);
        self.state.borrow_mut().note_put();
        self.finished.clear();
        self.wake_next(Side::Get);
        Ok(())
    }

    /// Takes out an item if there is one: asyncio's `get_nowait`.
    ///
    /// # Errors
    ///
    /// Fails if the queue is empty, and says whether it was shut down.
    pub fn try_get(&self) -> Result<T, TryGetError> {
        let item = self.items.borrow_mut().take();
        let Some(item) = item else {
            let is_shut_down = self.state.borrow().is_shut_down;
            return Err(if is_shut_down { TryGetError::ShutDown } else { TryGetError::Empty });
        };
        self.wake_next(Side::Put);
        Ok(item)
    }

    /// Reports that an item that was taken out is processed.
    ///
    /// # Panics
    ///
    /// Panics if it is called more often than items were put, where asyncio raises `ValueError`.
    pub fn task_done(&self) {
        let done = self.state.borrow_mut().task_done();
        match done {
            Done::TooOften => panic!("`task_done` was called more often than items were put"),
            Done::More => {}
            Done::All => self.finished.set(),
        }
    }

    /// Waits until all items that were put are reported as processed.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use ferrio::Queue;
    ///
    /// ferrio::run(async {
    ///     let queue = Rc::new(Queue::unbounded());
    ///     let consumed = Rc::clone(&queue);
    ///     let consumer = ferrio::spawn(async move {
    ///         while let Ok(number) = consumed.get().await {
    ///             assert!(number < 3);
    ///             consumed.task_done();
    ///         }
    ///     });
    ///     for number in 0..3 {
    ///         queue.put(number).await.expect("it is open");
    ///     }
    ///     queue.join().await;
    ///     assert!(queue.is_empty());
    ///     queue.shutdown(false);
    ///     consumer.await.expect("it ends when the queue is shut down");
    /// })?;
    /// # Ok::<(), ferrio::RunError>(())
    /// ```
    pub async fn join(&self) {
        if self.state.borrow().unfinished > 0 {
            self.finished.wait().await;
        }
    }

    /// Accepts no further items. `get` returns those that are left, and fails then; if `is_immediate`, they are
    /// dropped at once.
    pub fn shutdown(&self, is_immediate: bool) {
        self.state.borrow_mut().is_shut_down = true;
        if is_immediate {
            self.discard_items();
        }
        let dismissed = self.state.borrow_mut().dismiss();
        for waiter in &dismissed {
            waiter.choose();
        }
    }

    /// How many items there are: asyncio's `qsize`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.borrow().len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no place.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    pub(super) const fn state(&self) -> &RefCell<QueueState<Rc<WaitSlot>>> {
        &self.state
    }

    /// Whether a waiter at `side` would find what it waits for.
    pub(super) fn is_available(&self, side: Side) -> bool {
        match side {
            Side::Get => !self.is_empty(),
            Side::Put => !self.is_full(),
        }
    }

    fn wake_next(&self, side: Side) {
        let mut state = self.state.borrow_mut();
        if state.wait_queue(side).is_empty() {
            return;
        }
        let mut spent = Vec::new();
        let next = state.wake_next(side, &mut spent);
        drop(state);
        drop(spent);
        if let Some(next) = next {
            next.choose();
        }
    }

    fn discard_items(&self) {
        loop {
            let item = self.items.borrow_mut().take();
            let Some(item) = item else { break };
            self.state.borrow_mut().note_discarded();
            drop(item);
        }
        if self.state.borrow().unfinished == 0 {
            self.finished.set();
        }
    }
}

impl<T, S: Storage<T>> fmt::Debug for OrderedQueue<T, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for QueueShutDown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the queue was shut down")
    }
}

impl std::error::Error for QueueShutDown {}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        QueueShutDown.fmt(formatter)
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PutError(..)")
    }
}

impl<T> std::error::Error for PutError<T> {}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::ShutDown(_) => "the queue was shut down",
        })
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::ShutDown(_) => "ShutDown(..)",
        })
    }
}

impl<T> std::error::Error for TryPutError<T> {}

impl fmt::Display for TryGetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "the queue is empty",
            Self::ShutDown => "the queue was shut down",
        })
    }
}

impl std::error::Error for TryGetError {}
