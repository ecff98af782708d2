//! `Reader`: compares what a program does with what is recorded, entry by entry.
//!
//! The program is on the recording until something else comes than the next entry says. From then on `left` says where
//! that was, nothing is compared any more, and the loop raises as soon as it can.

use std::collections::HashMap;
use std::os::fd::RawFd;

use ferrio_engine::{Decoder, Ending, Operation, Position, Recorded, Unreadable};

/// Where and how a program has left a recording.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) turn: u64,
    pub(crate) entry: u64,
    pub(crate) expected: String,
    /// Empty if the recording has ended.
    pub(crate) came: String,
}

/// What another thread, or the system, does for the loop.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// The descriptor of this registration is ready, with these bits.
    Event(u64, u32),
    /// The clock stands here when the loop looks for timers that are due.
    Due(f64),
    /// A thread begins with this job.
    Began(u64),
    /// The outcome of this job is queued at this place.
    Landed(u64, u64),
    /// A thread calls the loop, in a job or by its name; queued at this place.
    Called(u64, String, u64),
    /// A signal's handler is queued.
    Signal(u32),
    /// Ctrl-C cancels the main task, which runs or does not.
    Interrupt(bool),
}

impl Landing {
    /// Whether it may come while a callback runs.
    fn is_of_thread(&self) -> bool {
        !matches!(self, Self::Event(..) | Self::Due(_))
    }
}

pub(super) struct Reader {
    bytes: Vec<u8>,
    position: Position,
    turn: u64,
    entry: u64,
    clock: f64,
    left: Option<Left>,
    /// What came while a callback ran: it lands when that has ended.
    landings: Vec<Landing>,
    lookups: HashMap<u64, String>,
    tasks: HashMap<u64, String>,
    /// The descriptor of each registration.
    pub(super) registrations: HashMap<u64, RawFd>,
    /// Whether the bytes that came from outside were kept.
    pub(super) has_data: bool,
}

impl Reader {
    /// Reads a recording from this place of `bytes` on.
    ///
    /// # Errors
    /// Where there is something that no recording has.
    pub(super) fn new(bytes: Vec<u8>, has_data: bool) -> Result<Self, usize> {
        let (mut lookups, mut tasks) = (HashMap::new(), HashMap::new());
        let mut decoder = Decoder::new(&bytes, Position::default());
        loop {
            match decoder.decode() {
                Ok(Recorded::Lookup(job, found)) => drop(lookups.insert(job, found.to_owned())),
                Ok(Recorded::Task(number, name)) => drop(tasks.insert(number, name.to_owned())),
                // No system takes more than it was offered.
                Ok(Recorded::Answer(Operation::Send | Operation::SendTo, offered, Ok(taken), _)) if taken > offered => {
                    return Err(decoder.position().offset());
                }
                Ok(Recorded::End(_)) | Err(Unreadable::CutOff) => break,
                Ok(_) => {}
                Err(Unreadable::Malformed) => return Err(decoder.position().offset()),
            }
        }
        Ok(Self {
            bytes,
            position: Position::default(),
            turn: 0,
            entry: 0,
            clock: 0.0,
            left: None,
            landings: Vec::new(),
            lookups,
            tasks,
            registrations: HashMap::new(),
            has_data,
        })
    }

    pub(super) fn left(&self) -> Option<&Left> {
        self.left.as_ref()
    }

    pub(super) fn lookup(&self, job: u64) -> Option<&str> {
        self.lookups.get(&job).map(String::as_str)
    }

    /// The turn and the number of the last entry.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.turn, self.entry)
    }

    fn peek(&mut self) -> Result<(Recorded<'_>, Position), Unreadable> {
        loop {
            let mut decoder = Decoder::new(&self.bytes, self.position);
            match decoder.decode()? {
                Recorded::Lookup(..) | Recorded::Task(..) | Recorded::Random(_) => {
                    self.position = decoder.position();
                    self.entry += 1;
                }
                _ => break,
            }
        }
        let mut decoder = Decoder::new(&self.bytes, self.position);
        let entry = decoder.decode()?;
        Ok((entry, decoder.position()))
    }

    fn advance(&mut self, position: Position) {
        self.position = position;
        self.entry += 1;
    }

    /// The program does something else than the recording says.
    pub(super) fn leave(&mut self, came: impl Into<String>) {
        if self.left.is_some() {
            return;
        }
        let (turn, entry) = (self.turn, self.entry + 1);
        let expected = self.expected();
        let came = came.into();
        let (expected, came) = match expected {
            Ok(expected) => (expected, came),
            Err(ending) => (ending.to_owned(), String::new()),
        };
        self.left = Some(Left { turn, entry, expected, came });
    }

    /// The same after an entry was read, of which something has not come.
    pub(super) fn leave_before(&mut self, expected: String, came: String) {
        if self.left.is_none() {
            self.left = Some(Left { turn: self.turn, entry: self.entry, expected, came });
        }
    }

    /// The next entry in words, or why there is none.
    fn expected(&mut self) -> Result<String, &'static str> {
        let text = match self.peek() {
            Err(_) => return Err("it was cut off, as when its process is killed"),
            Ok((Recorded::End(Ending::Stopped), _)) => return Err("recording was ended"),
            Ok((Recorded::End(Ending::Limit), _)) => return Err("it has reached its limit"),
            Ok((Recorded::Stop(false), _)) => return Err("the loop was stopped there from outside, as by Ctrl-C"),
            Ok((entry, _)) => describe(&entry),
        };
        let Some(task) = self.next_task() else { return Ok(text) };
        Ok(match self.tasks.get(&task) {
            Some(name) => format!("{text} in {name}"),
            None if task == 0 => format!("{text} in a callback of no task"),
            None => format!("{text} in task {task}"),
        })
    }

    /// The task whose step the next entries belong to, unless the turn ends before.
    fn next_task(&self) -> Option<u64> {
        let mut decoder = Decoder::new(&self.bytes, self.position);
        loop {
            match decoder.decode() {
                Ok(Recorded::Step(task)) => return Some(task),
                Ok(Recorded::Turn | Recorded::Polled | Recorded::Stop(_) | Recorded::End(_) | Recorded::Due(_))
                | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// What lands next, where the loop looks for it.
    pub(super) fn take_landing(&mut self) -> Option<Landing> {
        if self.left.is_some() {
            return None;
        }
        let (entry, position) = self.peek().ok()?;
        let landing = landing_of(&entry)?;
        self.advance(position);
        Some(landing)
    }

    /// What came while the callback ran.
    pub(super) fn take_landings(&mut self) -> Vec<Landing> {
        std::mem::take(&mut self.landings)
    }

    /// The loop polls.
    pub(super) fn begin_turn(&mut self) {
        if self.take("the turn ends", |entry| (*entry == Recorded::Turn).then_some(())).is_some() {
            self.turn += 1;
        }
    }

    /// The loop has polled.
    pub(super) fn end_poll(&mut self) {
        let _ = self.take("the loop has polled", |entry| (*entry == Recorded::Polled).then_some(()));
    }

    /// A callback has run.
    pub(super) fn end_step(&mut self, task: u64, came: &str) {
        let _ = self.take(came, |entry| (*entry == Recorded::Step(task)).then_some(()));
    }

    /// The program reads the clock.
    pub(super) fn read_clock(&mut self) -> f64 {
        if let Some(seconds) = self.take("reads the clock", |entry| match entry {
            Recorded::Clock(seconds) => Some(*seconds),
            _ => None,
        }) {
            self.clock = seconds;
        }
        self.clock
    }

    pub(super) fn set_clock(&mut self, seconds: f64) {
        self.clock = seconds;
    }

    /// The loop has stopped.
    pub(super) fn stop(&mut self) {
        let _ = self.take("the program ends", |entry| matches!(entry, Recorded::Stop(_)).then_some(()));
    }

    /// What the system answers; `receive` gets the data and gives false if it needs data that was not kept.
    pub(super) fn answer(
        &mut self,
        operation: Operation,
        offered: u64,
        receive: impl FnOnce(u64, Option<&[u8]>) -> bool,
    ) -> Option<Result<u64, i32>> {
        let came = if offered > 0 && matches!(operation, Operation::Send | Operation::SendTo) {
            format!("{} {offered} bytes", operation.name())
        } else {
            operation.name().to_owned()
        };
        self.pass_landings();
        if self.left.is_some() {
            return None;
        }
        let found = match self.peek() {
            Ok((Recorded::Answer(recorded, size, answer, data), position))
                if recorded == operation && size == offered =>
            {
                let is_whole = answer.map_or(true, |number| receive(number, data));
                Some((answer, is_whole, position))
            }
            _ => None,
        };
        match found {
            None => {
                self.leave(came);
                None
            }
            Some((answer, true, position)) => {
                self.advance(position);
                Some(answer)
            }
            Some((answer, false, _)) => {
                self.miss_data(format!("{} {} bytes", operation.name(), answer.unwrap_or(0)));
                None
            }
        }
    }

    fn miss_data(&mut self, expected: String) {
        let (turn, entry) = (self.turn, self.entry + 1);
        let came = "nothing, because the recording was made without bytes: record(..., bytes=True) keeps them";
        self.left = Some(Left { turn, entry, expected, came: came.to_owned() });
    }

    /// What a call of this name has given, and the bytes that came with it.
    pub(super) fn call(&mut self, name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        self.pass_landings();
        if self.left.is_some() {
            return None;
        }
        let found = match self.peek() {
            Ok((Recorded::Answer(Operation::Call, size, Ok(_), Some(found)), position)) => called(found)
                .filter(|(recorded, ..)| *recorded == name.as_bytes())
                .map(|(_, given, data)| (given.to_vec(), data.to_vec(), data.len() as u64 == size, position)),
            _ => None,
        };
        match found {
            None => {
                self.leave(format!("calls {name}"));
                None
            }
            Some((given, data, true, position)) => {
                self.advance(position);
                Some((given, data))
            }
            Some((.., false, _)) => {
                self.miss_data(format!("calls {name}"));
                None
            }
        }
    }

    /// So many random bytes, if the program was given them here. That it was not, or that it does not ask for those that
    /// it was given, is no way to leave the recording: modules draw when they are imported, which happens once a process.
    pub(super) fn random(&mut self, size: usize) -> Option<Vec<u8>> {
        let mut decoder = Decoder::new(&self.bytes, self.position);
        let (mut landings, mut passed) = (Vec::new(), 0);
        let found = loop {
            let entry = decoder.decode().ok().filter(|_| self.left.is_none())?;
            passed += 1;
            match (&entry, landing_of(&entry)) {
                (Recorded::Random(bytes), _) if bytes.len() == size => break bytes.to_vec(),
                (Recorded::Random(_) | Recorded::Lookup(..) | Recorded::Task(..), _) => {}
                (_, Some(landing)) if landing.is_of_thread() => landings.push(landing),
                _ => return None,
            }
        };
        self.position = decoder.position();
        self.entry += passed;
        self.landings.append(&mut landings);
        Some(found)
    }

    /// Sets aside what other threads did meanwhile.
    fn pass_landings(&mut self) {
        while let Ok((entry, position)) = self.peek() {
            match landing_of(&entry) {
                Some(landing) if landing.is_of_thread() => {
                    self.landings.push(landing);
                    self.advance(position);
                }
                Some(_) | None => return,
            }
        }
    }

    fn take<T>(&mut self, came: &str, find: impl FnOnce(&Recorded<'_>) -> Option<T>) -> Option<T> {
        if self.left.is_some() {
            return None;
        }
        self.pass_landings();
        let found = self.peek().ok().and_then(|(entry, position)| Some((find(&entry)?, position)));
        if let Some((found, position)) = found {
            self.advance(position);
            return Some(found);
        }
        self.leave(came);
        None
    }
}

/// The name of a call, what it gave, and the bytes that came with it.
fn called(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

fn landing_of(entry: &Recorded<'_>) -> Option<Landing> {
    Some(match *entry {
        Recorded::Event(registration, readiness) => Landing::Event(registration, readiness),
        Recorded::Due(seconds) => Landing::Due(seconds),
        Recorded::Began(job) => Landing::Began(job),
        Recorded::Landed(job, place) => Landing::Landed(job, place),
        Recorded::Called(job, thread, place) => Landing::Called(job, thread.to_owned(), place),
        Recorded::Signal(number) => Landing::Signal(number),
        Recorded::Interrupt(is_running) => Landing::Interrupt(is_running),
        _ => return None,
    })
}

fn describe(entry: &Recorded<'_>) -> String {
    match entry {
        Recorded::Turn => "the turn ends".to_owned(),
        Recorded::Polled => "the loop has polled".to_owned(),
        Recorded::Step(0) => "a callback has run".to_owned(),
        Recorded::Step(_) => "a step has run".to_owned(),
        Recorded::Clock(_) => "reads the clock".to_owned(),
        Recorded::Due(_) => "the loop looks for timers".to_owned(),
        Recorded::Event(registration, _) => format!("the {registration}. registered descriptor is ready"),
        Recorded::Began(job) => format!("a thread begins with job {job}"),
        Recorded::Landed(job, _) => format!("job {job} ends"),
        Recorded::Called(0, thread, _) => format!("the thread {thread:?} calls the loop"),
        Recorded::Called(job, ..) => format!("job {job} calls the loop"),
        Recorded::Signal(number) => format!("signal {number} arrives"),
        Recorded::Interrupt(_) => "Ctrl-C".to_owned(),
        Recorded::Answer(operation @ (Operation::Send | Operation::SendTo), offered, ..) => {
            format!("{} {offered} bytes", operation.name())
        }
        Recorded::Answer(Operation::Call, .., Some(data)) => {
            let name = called(data).map(|(name, ..)| String::from_utf8_lossy(name));
            format!("calls {}", name.unwrap_or_default())
        }
        Recorded::Answer(operation, ..) => operation.name().to_owned(),
        Recorded::Stop(_) => "the program ends".to_owned(),
        Recorded::Task(..) | Recorded::Lookup(..) | Recorded::Random(_) | Recorded::End(_) => "nothing".to_owned(),
    }
}
