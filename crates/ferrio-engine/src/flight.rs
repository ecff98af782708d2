//! The flight recorder: what a loop did last, as records of a fixed size in a ring, and histograms of durations.
//!
//! Invariant: after `reserve` nothing here allocates. The ring's pages are touched only as it fills. Instants and
//! durations are nanoseconds.

/// The bounds of the histogram's buckets are powers of two from this one on: a microsecond.
const FIRST_BOUND: u32 = 10;

/// How many bounds there are: the last one is 17 seconds.
const BOUNDS: usize = 25;

/// Bits of a duration in a record; above them is the number of callbacks that were ready.
const DURATION: u32 = 48;

/// Bits of a subject in a record; above them are the kind and a detail.
const SUBJECT: u32 = 48;

/// How many places of a ring that is not full yet are made at a time.
const AT_ONCE: usize = 64;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FlightKind {
    /// A task ran: its number, how the step ended, and what it waits for.
    Step = 1,
    /// Another callback ran: what it calls.
    Callback = 2,
    /// The loop asked the system for events: how many came.
    Poll = 3,
    /// A task is ready and has not run: its number.
    Wake = 4,
    /// A task was created: its number, and who created it.
    Created = 5,
    /// A task is done: its number, and what it ran.
    Done = 6,
    /// A thread of an executor begins a job.
    JobBegan = 7,
    /// It has ended.
    JobEnded = 8,
}

/// One event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlightRecord([u64; 6]);

impl FlightRecord {
    /// The size in bytes.
    pub const SIZE: usize = 48;

    /// What was pushed by a callback that is no task's step.
    pub const BY_CALLBACK: u64 = 0;
    /// What was pushed by code that ran in no callback of the loop.
    pub const BY_OUTSIDE: u64 = u64::MAX;
    /// What was pushed when nobody saw it.
    pub const BY_UNKNOWN: u64 = u64::MAX - 1;

    /// Something that began at `at`; `subject` is a number below 2^48.
    #[inline]
    #[must_use]
    pub const fn new(kind: FlightKind, at: u64, subject: u64, other: u64) -> Self {
        Self([at, 0, ((kind as u64) << 56) | (subject & ((1 << SUBJECT) - 1)), other, Self::BY_UNKNOWN, 0])
    }

    /// A step of a task that began at `at`; `task` is below 2^48.
    #[inline]
    #[must_use]
    pub const fn step(at: u64, task: u64, detail: u8, label: u64) -> Self {
        debug_assert!(task >> SUBJECT == 0);
        let what = ((((FlightKind::Step as u64) << 8) | detail as u64) << SUBJECT) | task;
        Self([at, 0, what, label, Self::BY_UNKNOWN, 0])
    }

    /// Who made it ready to run, the number of a task or one of the constants above, and when.
    #[inline]
    #[must_use]
    pub const fn pushed(mut self, by: u64, at: u64) -> Self {
        self.0[4] = by;
        self.0[5] = at;
        self
    }

    /// How long it took, and how many callbacks were ready when it had ended.
    #[inline]
    #[must_use]
    pub fn lasted(mut self, took: u64, ready: usize) -> Self {
        let ready = u64::from(u16::try_from(ready).unwrap_or(u16::MAX));
        self.0[1] = took.min((1 << DURATION) - 1) | (ready << DURATION);
        self
    }

    /// A number that the kind gives a meaning.
    #[inline]
    #[must_use]
    pub const fn detail(mut self, detail: u8) -> Self {
        self.0[2] |= (detail as u64) << SUBJECT;
        self
    }

    fn end(&self) -> u64 {
        self.0[0] + (self.0[1] & ((1 << DURATION) - 1))
    }
}

/// The ring: the newest records in place of the oldest.
#[derive(Debug, Default)]
pub struct FlightRing {
    records: Vec<FlightRecord>,
    limit: usize,
    /// Where the next record goes; after the last place if it is the first one's turn, or one is to be made.
    next: usize,
    pushed: u64,
}

impl FlightRing {
    /// Empties it, and makes room for `limit` records. False if there is no memory for them.
    #[must_use]
    pub fn reserve(&mut self, limit: usize) -> bool {
        *self = Self::default();
        if self.records.try_reserve_exact(limit).is_err() {
            return false;
        }
        self.limit = limit;
        true
    }

    /// Adds a record.
    #[inline]
    pub fn push(&mut self, record: FlightRecord) {
        if self.next >= self.records.len() {
            self.make_place();
        }
        if let Some(place) = self.records.get_mut(self.next) {
            *place = record;
            self.next += 1;
            self.pushed += 1;
        }
    }

    /// The places of the next records, which are to be written now: at most `count` of them, and at least one, if any is kept.
    pub fn next_places(&mut self, count: usize) -> &mut [FlightRecord] {
        if self.next >= self.records.len() {
            self.make_place();
        }
        let places = count.min(self.records.len() - self.next);
        let begin = self.next;
        self.next += places;
        self.pushed += places as u64;
        self.records.get_mut(begin..begin + places).unwrap_or_default()
    }

    #[cold]
    #[inline(never)]
    fn make_place(&mut self) {
        if self.records.len() < self.limit {
            let more = (self.limit - self.records.len()).min(AT_ONCE);
            self.records.resize(self.records.len() + more, FlightRecord::default());
        } else {
            self.next = 0;
        }
    }

    /// The records of what ended at `since` or later, oldest first, as bytes; None if there is no memory for them.
    #[must_use]
    pub fn bytes(&self, since: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(self.records.len() * FlightRecord::SIZE).ok()?;
        let (newer, older) = self.records.split_at(self.next.min(self.records.len()));
        // Places that have had no record yet come last.
        let older = if self.pushed < self.records.len() as u64 { &[] } else { older };
        for record in older.iter().chain(newer).filter(|record| record.end() >= since) {
            record.0.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        }
        Some(bytes)
    }

    /// How many records have given their place to newer ones.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.pushed.saturating_sub(self.records.len() as u64)
    }
}

/// How often durations were at most each bound.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    counts: [u64; BOUNDS + 1],
    sum: u64,
}

impl Durations {
    /// Counts a duration.
    #[inline]
    pub fn record(&mut self, duration: u64) {
        // Without a branch: the first bucket has all that is shorter.
        let highest = (duration.saturating_sub(1) | ((1 << FIRST_BOUND) - 1)).ilog2();
        let bucket = ((highest + 1 - FIRST_BOUND) as usize).min(BOUNDS);
        self.counts[bucket] += 1;
        self.sum += duration;
    }

    /// The bounds, how many durations each bucket has (one more has what is longer), and their sum.
    #[must_use]
    pub fn read(&self) -> (Vec<u64>, Vec<u64>, u64) {
        let bounds = (FIRST_BOUND..).take(BOUNDS).map(|bits| 1 << bits).collect();
        (bounds, self.counts.to_vec(), self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instants(ring: &FlightRing, since: u64) -> Vec<u64> {
        let bytes = ring.bytes(since).expect("there is memory");
        let words = bytes.chunks(FlightRecord::SIZE).map(|record| record[..8].try_into().expect("eight bytes"));
        words.map(u64::from_le_bytes).collect()
    }

    #[test]
    fn the_newest_records_stay_in_their_order() {
        let mut ring = FlightRing::default();
        assert!(ring.reserve(4));
        for at in 1..=6 {
            ring.push(FlightRecord::new(FlightKind::Wake, at, 1, 0));
        }
        assert_eq!(instants(&ring, 0), [3, 4, 5, 6]);
        assert_eq!(instants(&ring, 5), [5, 6]);
        assert_eq!(ring.lost(), 2);
    }

    #[test]
    fn records_that_are_written_in_their_places_are_as_those_that_are_pushed() {
        for limit in [5, 64, 100] {
            let (mut pushed, mut placed) = (FlightRing::default(), FlightRing::default());
            assert!(pushed.reserve(limit) && placed.reserve(limit));
            let mut at = 0;
            for count in [1, 3, 2, 7, 5, 4, 40, 1, 60, 90, 2, 99] {
                let mut left = count;
                while left > 0 {
                    let next = placed.next_places(left);
                    left -= next.len();
                    for place in next {
                        at += 1;
                        *place = FlightRecord::new(FlightKind::Wake, at, 1, 0);
                        pushed.push(*place);
                    }
                }
                assert_eq!((instants(&placed, 0), placed.lost()), (instants(&pushed, 0), pushed.lost()));
                assert_eq!(instants(&placed, 0).len() as u64 + placed.lost(), at);
            }
            assert_eq!(placed.next_places(0).len(), 0);
        }
        assert_eq!(FlightRing::default().next_places(3).len(), 0);
    }

    #[test]
    fn a_ring_without_room_keeps_nothing() {
        let mut ring = FlightRing::default();
        ring.push(FlightRecord::default());
        assert!(instants(&ring, 0).is_empty());
    }

    #[test]
    fn what_does_not_fit_in_its_bits_leaves_its_neighbours_alone() {
        let record = FlightRecord::new(FlightKind::Step, 7, u64::MAX, 9).detail(3).lasted(u64::MAX, usize::MAX);
        assert_eq!(record.0, [7, u64::MAX, (1 << 56) | (3 << 48) | ((1 << 48) - 1), 9, u64::MAX - 1, 0]);
    }

    #[test]
    fn a_step_is_a_record_of_its_kind() {
        let step = FlightRecord::step(7, 8, 2, 9);
        assert_eq!(step, FlightRecord::new(FlightKind::Step, 7, 8, 9).detail(2));
    }

    #[test]
    fn a_duration_counts_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let mut durations = Durations::default();
        for duration in [0, 1024, 1025, 2048, 1 << 34, (1 << 34) + 1, u64::MAX >> 1] {
            durations.record(duration);
        }
        let (bounds, counts, _) = durations.read();
        assert_eq!(bounds.first(), Some(&1024));
        assert_eq!((bounds.last(), bounds.len() + 1), (Some(&(1 << 34)), counts.len()));
        assert_eq!((counts[0], counts[1], counts[24], counts[25]), (2, 2, 1, 2));
    }
}
