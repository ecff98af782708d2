//! Registrations: which handlers wait for which descriptor, and what the poller must change for that.
//!
//! An entry is either *polled by level*, with a reader, a writer or both, or *awaited once*, if all its handlers leave
//! with their first event, or a *stream*: one handler that gets both directions by edge. An entry whose handlers have
//! all left that way is *dormant*: the poller knows the descriptor but does not watch it, so that the next wait costs
//! one call and not two. Methods that change an entry return a [`Change`] for the caller to carry out at the poller; if
//! the poller refuses, the caller calls [`Registrations::roll_back`] with the role it tried to fill.
//!
//! Each time a descriptor goes from unregistered to registered its generation grows, and tokens carry the generation:
//! an event fetched for an earlier life of the same number is recognised and ignored.

use crate::descriptors::Descriptors;
use crate::interest::{Change, Interest, PollerEntry, Trigger};

/// The purpose of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Called while something can be read.
    Reader,
    /// Called while something can be written.
    Writer,
    /// Called for both directions by edge.
    Stream,
}

/// The outcome of setting a handler.
#[must_use = "the poller has to be told"]
#[derive(Debug, PartialEq, Eq)]
pub struct Registered<H> {
    /// What to change at the poller.
    pub change: Change,
    /// The handlers that were replaced: the old one of the same role, or reader and writer when a stream is set.
    pub replaced: [Option<H>; 2],
}

/// The outcome of removing a handler.
#[must_use = "the poller has to be told"]
#[derive(Debug, PartialEq, Eq)]
pub struct Removed<H> {
    /// What to change at the poller.
    pub change: Change,
    /// The handler that was removed.
    pub handler: Option<H>,
}

/// A stream owns the descriptor, so that no reader or writer can be set; contains the handler.
#[derive(Debug, PartialEq, Eq)]
pub struct Occupied<H>(pub H);

/// What is registered for one descriptor.
#[derive(Debug)]
pub struct Entry<H> {
    /// Grows each time the descriptor is registered again.
    generation: u32,
    /// What the poller watches, as last set: exactly what the handlers below need.
    armed: Interest,
    /// Empty while `stream` is set.
    reader: Option<H>,
    /// Empty while `stream` is set.
    writer: Option<H>,
    stream: Option<H>,
    /// The directions whose handlers leave with their first event.
    once: Interest,
    /// The poller may still know the descriptor, disarmed.
    dormant: bool,
}

impl<H> Default for Entry<H> {
    fn default() -> Self {
        let (reader, writer, stream) = (None, None, None);
        Self { generation: 0, armed: Interest::NONE, reader, writer, stream, once: Interest::NONE, dormant: false }
    }
}

impl<H> Entry<H> {
    /// The handler that reads.
    #[must_use]
    pub fn reader(&self) -> Option<&H> {
        self.reader.as_ref()
    }

    /// The handler that writes.
    #[must_use]
    pub fn writer(&self) -> Option<&H> {
        self.writer.as_ref()
    }

    /// The handler that gets both directions by edge.
    #[must_use]
    pub fn stream(&self) -> Option<&H> {
        self.stream.as_ref()
    }

    /// Whether it has a handler that leaves with its first event.
    #[must_use]
    pub fn awaits_once(&self) -> bool {
        !self.once.is_empty()
    }

    /// What the poller watches.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.armed
    }

    fn needed(&self) -> Interest {
        if self.stream.is_some() {
            return Interest::BOTH;
        }
        let readable = if self.reader.is_some() { Interest::READABLE } else { Interest::NONE };
        let writable = if self.writer.is_some() { Interest::WRITABLE } else { Interest::NONE };
        readable | writable
    }

    fn slot(&mut self, role: Role) -> &mut Option<H> {
        match role {
            Role::Reader => &mut self.reader,
            Role::Writer => &mut self.writer,
            Role::Stream => &mut self.stream,
        }
    }

    fn trigger(&self) -> Trigger {
        match &self.stream {
            Some(_) => Trigger::Edge,
            None if !self.armed.is_empty() && self.once.contains(self.armed) => Trigger::Once,
            None => Trigger::Level,
        }
    }

    fn token(&self, fd: u32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(fd)
    }

    fn poller_entry(&self, fd: u32) -> PollerEntry {
        let trigger = self.trigger();
        PollerEntry { token: self.token(fd), interest: self.armed, trigger }
    }
}

/// The handlers of all descriptors of a loop.
#[derive(Debug)]
pub struct Registrations<H> {
    entries: Descriptors<Entry<H>>,
    /// How many entries have a handler.
    count: usize,
}

impl<H> Registrations<H> {
    /// No registrations.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Descriptors::new(), count: 0 }
    }

    /// Sets the handler to call while `fd` is readable.
    ///
    /// # Errors
    ///
    /// Returns `handler` if a stream owns `fd`.
    pub fn set_reader(&mut self, fd: i32, handler: H) -> Result<Registered<H>, Occupied<H>> {
        self.set_level(fd, Role::Reader, handler, false)
    }

    /// Sets the handler to call while `fd` is writable.
    ///
    /// # Errors
    ///
    /// Returns `handler` if a stream owns `fd`.
    pub fn set_writer(&mut self, fd: i32, handler: H) -> Result<Registered<H>, Occupied<H>> {
        self.set_level(fd, Role::Writer, handler, false)
    }

    /// Sets the handler of one direction (`role` is [`Role::Reader`] or [`Role::Writer`]) for its next event alone; the
    /// event takes it out (see [`Registrations::fire`]).
    ///
    /// # Errors
    ///
    /// Returns `handler` if a stream owns `fd`.
    pub fn wait(&mut self, fd: i32, role: Role, handler: H) -> Result<Registered<H>, Occupied<H>> {
        self.set_level(fd, role, handler, true)
    }

    /// Takes out the handlers whose wait a reported event ends: reader and writer.
    ///
    /// The poller has disarmed an entry that is awaited once; the change arms it again for what is still awaited.
    pub fn fire(&mut self, token: u64, reader: bool, writer: bool) -> (Change, [Option<H>; 2]) {
        let fd = Self::descriptor(token).cast_unsigned();
        let current = |entry: &&mut Entry<H>| entry.token(fd) == token && !entry.armed.is_empty();
        let Some(entry) = self.entries.get_mut(fd).filter(current) else {
            return (Change::None, [None, None]);
        };
        let disarmed = entry.trigger() == Trigger::Once;
        let read = if reader && entry.once.contains(Interest::READABLE) { entry.reader.take() } else { None };
        let written = if writer && entry.once.contains(Interest::WRITABLE) { entry.writer.take() } else { None };
        let before = std::mem::replace(&mut entry.armed, Interest::NONE);
        entry.armed = entry.needed();
        let change = if entry.armed.is_empty() {
            self.count -= 1;
            entry.dormant = disarmed;
            if disarmed { Change::None } else { Change::Remove }
        } else if disarmed || before != entry.armed {
            Change::Modify(entry.poller_entry(fd))
        } else {
            Change::None
        };
        (change, [read, written])
    }

    /// Makes `handler` the owner of `fd`, called by edge for both directions. It replaces the handlers registered
    /// before.
    pub fn set_stream(&mut self, fd: i32, handler: H) -> Registered<H> {
        let fd = fd.cast_unsigned();
        let entry = self.entries.entry(fd);
        let watched = !entry.armed.is_empty();
        let known = watched || std::mem::take(&mut entry.dormant);
        let replaced = match entry.stream.replace(handler) {
            // The number was closed without a removal and was reused for another connection.
            Some(stream) => [Some(stream), None],
            None => [entry.reader.take(), entry.writer.take()],
        };
        self.count += usize::from(!watched);
        entry.generation = entry.generation.wrapping_add(1);
        entry.armed = Interest::BOTH;
        let watched = entry.poller_entry(fd);
        Registered { change: if known { Change::Modify(watched) } else { Change::Add(watched) }, replaced }
    }

    /// Removes the handler that reads.
    pub fn remove_reader(&mut self, fd: i32) -> Removed<H> {
        self.remove(fd, Role::Reader)
    }

    /// Removes the handler that writes.
    pub fn remove_writer(&mut self, fd: i32) -> Removed<H> {
        self.remove(fd, Role::Writer)
    }

    /// Removes the stream that owns `fd`.
    pub fn remove_stream(&mut self, fd: i32) -> Removed<H> {
        self.remove(fd, Role::Stream)
    }

    /// Removes the handler that was set last in this role, after the poller has refused the change that came with it.
    ///
    /// The poller keeps what it had: after a refused [`Change::Add`] nothing is registered for `fd`.
    #[must_use = "dropping the handler here is what this method is there to avoid"]
    pub fn roll_back(&mut self, fd: i32, role: Role) -> Option<H> {
        let Removed { change: _, handler } = self.remove(fd, role);
        handler
    }

    /// Takes out all handlers, so that the caller can drop them while nothing borrows the registrations.
    ///
    /// Generations stay: events still under way find no entry.
    #[must_use = "dropping the handlers here is what this method is there to avoid"]
    pub fn take_all(&mut self) -> Vec<H> {
        self.count = 0;
        let mut handlers = Vec::new();
        for entry in self.entries.values_mut() {
            entry.armed = Interest::NONE;
            handlers.extend([entry.reader.take(), entry.writer.take(), entry.stream.take()].into_iter().flatten());
        }
        handlers
    }

    /// Takes out the handlers of a descriptor that was closed without a removal: its number was reused for another
    /// file.
    #[must_use = "dropping the handlers here is what this method is there to avoid"]
    pub fn take(&mut self, fd: i32) -> [Option<H>; 3] {
        let Some(entry) = self.entries.get_mut(fd.cast_unsigned()).filter(|entry| !entry.armed.is_empty()) else {
            return [None, None, None];
        };
        self.count -= 1;
        entry.armed = Interest::NONE;
        [entry.reader.take(), entry.writer.take(), entry.stream.take()]
    }

    /// What is registered for `fd`, if anything is.
    #[must_use]
    pub fn get(&self, fd: i32) -> Option<&Entry<H>> {
        self.entries.get(fd.cast_unsigned()).filter(|entry| !entry.armed.is_empty())
    }

    /// The handler of the stream that owns `fd`.
    pub fn stream_mut(&mut self, fd: i32) -> Option<&mut H> {
        self.entries.get_mut(fd.cast_unsigned())?.stream.as_mut()
    }

    /// The token of the current registration of `fd`.
    #[must_use]
    pub fn token(&self, fd: i32) -> Option<u64> {
        self.get(fd).map(|entry| entry.token(fd.cast_unsigned()))
    }

    /// What the poller is to watch for `fd`, if it may have lost it.
    #[must_use]
    pub fn poller_entry(&self, fd: i32) -> Option<PollerEntry> {
        self.get(fd).map(|entry| entry.poller_entry(fd.cast_unsigned()))
    }

    /// What a new poller is to watch, for each descriptor.
    #[must_use]
    pub fn poller_entries(&self) -> Vec<(i32, PollerEntry)> {
        let watched = self.entries.iter().filter(|(_, entry)| !entry.armed.is_empty());
        watched.map(|(fd, entry)| (fd.cast_signed(), entry.poller_entry(fd))).collect()
    }

    /// The descriptors that have a handler.
    pub fn watched(&self) -> impl Iterator<Item = i32> {
        self.entries.iter().filter(|(_, entry)| !entry.needed().is_empty()).map(|(fd, _)| fd.cast_signed())
    }

    /// The descriptor that a token was made for.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the descriptor")]
    pub const fn descriptor(token: u64) -> i32 {
        (token as u32).cast_signed()
    }

    /// The registration that a token was made for, unless it has ended since.
    #[inline]
    #[must_use]
    pub fn lookup(&self, token: u64) -> Option<&Entry<H>> {
        let fd = Self::descriptor(token);
        self.get(fd).filter(|entry| entry.token(fd.cast_unsigned()) == token)
    }

    /// All handlers, in no particular order.
    pub fn handlers(&self) -> impl Iterator<Item = &H> {
        self.entries.values().flat_map(|entry| [&entry.reader, &entry.writer, &entry.stream].into_iter().flatten())
    }

    /// How many descriptors are registered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    fn set_level(&mut self, fd: i32, role: Role, handler: H, once: bool) -> Result<Registered<H>, Occupied<H>> {
        let fd = fd.cast_unsigned();
        let entry = self.entries.entry(fd);
        if entry.stream.is_some() {
            return Err(Occupied(handler));
        }
        let replaced = [entry.slot(role).replace(handler), None];
        let before = (entry.armed, entry.trigger());
        let direction = if role == Role::Reader { Interest::READABLE } else { Interest::WRITABLE };
        entry.once = if once { entry.once | direction } else { entry.once.without(direction) };
        entry.armed = entry.needed();
        let change = if before.0.is_empty() {
            self.count += 1;
            entry.generation = entry.generation.wrapping_add(1);
            let watched = entry.poller_entry(fd);
            if std::mem::take(&mut entry.dormant) { Change::Modify(watched) } else { Change::Add(watched) }
        } else if before == (entry.armed, entry.trigger()) {
            Change::None
        } else {
            Change::Modify(entry.poller_entry(fd))
        };
        Ok(Registered { change, replaced })
    }

    fn remove(&mut self, fd: i32, role: Role) -> Removed<H> {
        let fd = fd.cast_unsigned();
        let Some(entry) = self.entries.get_mut(fd) else {
            return Removed { change: Change::None, handler: None };
        };
        let Some(handler) = entry.slot(role).take() else {
            return Removed { change: Change::None, handler: None };
        };
        entry.armed = entry.needed();
        let change = if entry.armed.is_empty() {
            self.count -= 1;
            Change::Remove
        } else {
            Change::Modify(entry.poller_entry(fd))
        };
        Removed { change, handler: Some(handler) }
    }
}

impl<H> Default for Registrations<H> {
    fn default() -> Self {
        Self::new()
    }
}
