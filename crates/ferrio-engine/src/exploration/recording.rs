//! The recording of a real run: what landed, in which order, and what the system answered, as a sequence of entries.
//!
//! An entry is a byte for its kind and then numbers of variable length and texts with theirs before them. Readings of
//! the clock are the bits that differ from the reading before. [`Decoder`] takes bytes from anywhere: it never panics,
//! and tells what was cut off, which happens to a process that is killed, from what no [`Encoder`] has written.

/// What a program asked the system for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The next bytes of a connection.
    Receive,
    /// To take bytes for a connection.
    Send,
    /// A connection that waits.
    Accept,
    /// To begin to connect.
    Connect,
    /// Whether that was quick.
    Connected,
    /// How it has ended.
    ConnectOutcome,
    /// The next datagram.
    ReceiveFrom,
    /// To take a datagram.
    SendTo,
    /// The address of a socket of its own.
    Address,
    /// What kind of file a pipe is.
    Kind,
    /// Something else, by a function of Python: its data is the name of that, what it gave and the bytes that came with
    /// it, each but the last with a newline behind it; offered is the length of the last.
    Call,
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::Receive,
        Self::Send,
        Self::Accept,
        Self::Connect,
        Self::Connected,
        Self::ConnectOutcome,
        Self::ReceiveFrom,
        Self::SendTo,
        Self::Address,
        Self::Kind,
        Self::Call,
    ];

    /// What the program does, in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receives",
            Self::Send => "sends",
            Self::Accept => "accepts",
            Self::Connect => "connects",
            Self::Connected => "looks whether it is connected",
            Self::ConnectOutcome => "looks how connecting has ended",
            Self::ReceiveFrom => "receives a datagram",
            Self::SendTo => "sends a datagram",
            Self::Address => "looks at the address of its socket",
            Self::Kind => "connects a pipe",
            Self::Call => "calls",
        }
    }
}

/// Why a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Recording was ended.
    Stopped,
    /// It has reached its limit.
    Limit,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// The loop polls.
    Turn,
    /// It has polled: what has landed by now is what this turn runs.
    Polled,
    /// A callback has run: a step of this task, or 0 for any other.
    Step(u64),
    /// Which task has this number.
    Task(u64, &'a str),
    /// The program has read the clock.
    Clock(f64),
    /// The loop has read the clock for its timers.
    Due(f64),
    /// The descriptor of this registration was ready, with these bits.
    Event(u64, u32),
    /// A thread begins with this job.
    Began(u64),
    /// The outcome of this job was queued, after so many callbacks.
    Landed(u64, u64),
    /// A thread has called the loop, in this job or, for 0, in the thread of this name; queued after so many callbacks.
    Called(u64, &'a str, u64),
    /// A signal's handler was queued.
    Signal(u32),
    /// Ctrl-C has cancelled the main task; whether that was running.
    Interrupt(bool),
    /// What the system answered: a number or an error's number, how many bytes it was offered, and its data if it was
    /// kept.
    Answer(Operation, u64, Result<u64, i32>, Option<&'a [u8]>),
    /// What a lookup, which was this job, has found.
    Lookup(u64, &'a str),
    /// Random bytes that the program was given.
    Random(&'a [u8]),
    /// The loop stops, because it was told to; otherwise by an exception.
    Stop(bool),
    /// There is no more.
    End(Ending),
}

/// Writes entries.
#[derive(Debug, Default)]
pub struct Encoder {
    clock: u64,
}

impl Encoder {
    /// Appends an entry, without the data of an answer, which is to follow; returns false if there was no memory.
    #[must_use]
    pub fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) -> bool {
        let text = match entry {
            Entry::Task(_, text) | Entry::Called(_, text, _) | Entry::Lookup(_, text) => text.len(),
            Entry::Random(bytes) => bytes.len(),
            _ => 0,
        };
        if out.try_reserve(64 + text).is_err() {
            return false;
        }
        match *entry {
            Entry::Turn => out.push(1),
            Entry::Step(task) => put(out, 2, &[task]),
            Entry::Task(task, name) => put_text(out, 3, &[task], name),
            Entry::Clock(seconds) => self.put_clock(out, 4, seconds),
            Entry::Due(seconds) => self.put_clock(out, 5, seconds),
            Entry::Event(registration, readiness) => put(out, 6, &[registration, u64::from(readiness)]),
            Entry::Began(job) => put(out, 7, &[job]),
            Entry::Landed(job, place) => put(out, 8, &[job, place]),
            Entry::Called(job, thread, place) => put_text(out, 9, &[job, place], thread),
            Entry::Signal(number) => put(out, 10, &[u64::from(number)]),
            Entry::Interrupt(is_running) => put(out, 11, &[is_running.into()]),
            Entry::Answer(operation, offered, answer, data) => {
                let (kind, number) = match answer {
                    Ok(number) => (u64::from(data.is_some()), number),
                    Err(number) => (2, u64::from(number.unsigned_abs())),
                };
                put(out, 12, &[operation as u64, offered, kind, number]);
                if let (0..=1, Some(data)) = (kind, data) {
                    number_to(out, data.len() as u64);
                }
            }
            Entry::Lookup(job, found) => put_text(out, 13, &[job], found),
            Entry::Stop(is_told) => put(out, 14, &[is_told.into()]),
            Entry::Polled => out.push(17),
            Entry::Random(bytes) => put_data(out, 18, &[], bytes),
            Entry::End(Ending::Stopped) => out.push(15),
            Entry::End(Ending::Limit) => out.push(16),
        }
        true
    }

    fn put_clock(&mut self, out: &mut Vec<u8>, kind: u8, seconds: f64) {
        let bits = seconds.to_bits();
        put(out, kind, &[bits ^ self.clock]);
        self.clock = bits;
    }
}

fn put(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    for number in numbers {
        number_to(out, *number);
    }
}

fn put_text(out: &mut Vec<u8>, kind: u8, numbers: &[u64], text: &str) {
    put_data(out, kind, numbers, text.as_bytes());
}

fn put_data(out: &mut Vec<u8>, kind: u8, numbers: &[u64], data: &[u8]) {
    put(out, kind, numbers);
    number_to(out, data.len() as u64);
    out.extend_from_slice(data);
}

fn number_to(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Why an entry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The bytes end within it, or before it.
    CutOff,
    /// It is none.
    Malformed,
}

/// Where a decoder stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    offset: usize,
    clock: u64,
}

impl Position {
    /// How many bytes lie before it.
    #[must_use]
    pub fn offset(self) -> usize {
        self.offset
    }
}

/// Reads entries.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    position: Position,
}

impl<'a> Decoder<'a> {
    /// Reads `bytes` from a position on.
    #[must_use]
    pub fn new(bytes: &'a [u8], position: Position) -> Self {
        Self { bytes, position }
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next entry.
    ///
    /// # Errors
    /// If there is none; then the decoder has not moved.
    pub fn decode(&mut self) -> Result<Entry<'a>, Unreadable> {
        let mut next = *self;
        let entry = next.read()?;
        *self = next;
        Ok(entry)
    }

    fn read(&mut self) -> Result<Entry<'a>, Unreadable> {
        let kind = self.take(1)?[0];
        Ok(match kind {
            1 => Entry::Turn,
            2 => Entry::Step(self.number()?),
            3 => Entry::Task(self.number()?, self.text()?),
            4 => Entry::Clock(self.clock()?),
            5 => Entry::Due(self.clock()?),
            6 => Entry::Event(self.number()?, self.small()?),
            7 => Entry::Began(self.number()?),
            8 => Entry::Landed(self.number()?, self.number()?),
            9 => {
                let (job, place) = (self.number()?, self.number()?);
                Entry::Called(job, self.text()?, place)
            }
            10 => Entry::Signal(self.small()?),
            11 => Entry::Interrupt(self.number()? != 0),
            12 => self.answer()?,
            13 => Entry::Lookup(self.number()?, self.text()?),
            14 => Entry::Stop(self.number()? != 0),
            15 => Entry::End(Ending::Stopped),
            16 => Entry::End(Ending::Limit),
            17 => Entry::Polled,
            18 => Entry::Random(self.data()?),
            _ => return Err(Unreadable::Malformed),
        })
    }

    fn answer(&mut self) -> Result<Entry<'a>, Unreadable> {
        let operation = usize::try_from(self.number()?).ok().and_then(|index| Operation::ALL.get(index).copied());
        let operation = operation.ok_or(Unreadable::Malformed)?;
        let (offered, kind, number) = (self.number()?, self.number()?, self.number()?);
        let (answer, data) = match kind {
            0 => (Ok(number), None),
            1 => (Ok(number), Some(self.data()?)),
            2 => (Err(i32::try_from(number).map_err(|_| Unreadable::Malformed)?), None),
            _ => return Err(Unreadable::Malformed),
        };
        Ok(Entry::Answer(operation, offered, answer, data))
    }

    fn clock(&mut self) -> Result<f64, Unreadable> {
        self.position.clock ^= self.number()?;
        Ok(f64::from_bits(self.position.clock))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let end = self.position.offset.checked_add(count).ok_or(Unreadable::CutOff)?;
        let taken = self.bytes.get(self.position.offset..end).ok_or(Unreadable::CutOff)?;
        self.position.offset = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Malformed)
    }

    fn small(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.number()?).map_err(|_| Unreadable::Malformed)
    }

    fn data(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| Unreadable::CutOff)?)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.data()?).map_err(|_| Unreadable::Malformed)
    }
}
