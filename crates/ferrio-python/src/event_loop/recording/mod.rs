//! `Recording`: what the surroundings of a loop do, as it is written to a file or read from one.
//!
//! While a loop has a recording, `recorded_calls.rs` asks it around each system call whose answer a program can see. In a loop
//! that is being recorded it notes the answer; in one that repeats a recording it gives the recorded one, and the system
//! is not asked. Without one this costs a branch for each call. What drives both is in `testing`.

mod awaited;
pub(crate) mod calls;
mod reader;
mod writer;

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_cpython::{GilCell, GilFlag, LoopBase, Seams, thread_identifier};
use ferrio_engine::{Ending, Operation, Recorded};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use reader::Reader;
pub(crate) use reader::{Landing, Left};
use writer::Writer;

/// How many loops have a recording.
static RECORDED: AtomicUsize = AtomicUsize::new(0);

/// Whether any loop has a recording.
#[inline]
pub(crate) fn is_any() -> bool {
    RECORDED.load(Ordering::Relaxed) != 0 // Relaxed: ordered by the GIL.
}

/// A loop's recording, if it has one.
#[derive(Default)]
pub(crate) struct Tape {
    is_on: GilFlag,
    recording: GilCell<Option<Py<Recording>>>,
}

impl Tape {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.get()
    }

    pub(crate) fn set(&self, py: Python<'_>, recording: Option<Py<Recording>>) {
        let before = RECORDED.load(Ordering::Relaxed);
        match (self.is_on(), recording.is_some()) {
            (false, true) => RECORDED.store(before + 1, Ordering::Relaxed),
            (true, false) => RECORDED.store(before.saturating_sub(1), Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
        if self.is_on() != recording.is_some() {
            calls::watch(py, recording.is_some());
        }
        self.is_on.set(recording.is_some());
        if let Some(recording) = &recording {
            recording.bind(py).get().state.with(py, |state| state.has_loop = true);
        }
        let before = self.recording.with(py, |place| std::mem::replace(place, recording));
        drop(before);
    }

    /// The loop begins to run: it may be the one that is to be recorded.
    #[inline]
    pub(crate) fn begin_run(&self, py: Python<'_>, base: &LoopBase) {
        if awaited::is_any() {
            self.begin_recording(py, base);
        }
    }

    #[cold]
    fn begin_recording(&self, py: Python<'_>, base: &LoopBase) {
        if base.is_simulated() {
            return;
        }
        let Some((recording, seams)) = awaited::take(py) else { return };
        let Ok(recording) = recording.cast_into::<Recording>() else { return };
        if !recording.get().is_over(py) {
            self.set(py, Some(recording.clone().unbind()));
            base.simulate(py, Some((recording.into_any().unbind(), seams)));
        }
    }

    /// The loop has stopped.
    #[inline]
    pub(crate) fn end_run(&self, py: Python<'_>, base: &LoopBase) {
        if self.is_on() {
            self.note_stop(py, base.stopping.get());
        }
    }

    #[cold]
    fn note_stop(&self, py: Python<'_>, is_told: bool) {
        let Some(recording) = self.get(py) else { return };
        recording.get().note(py, &Recorded::Stop(is_told));
        recording.get().flush(py);
        recording.get().read(py, Reader::stop);
    }

    /// The loop is closed, or its recording is over.
    pub(crate) fn detach(&self, py: Python<'_>, base: &LoopBase) {
        let Some(recording) = self.get(py) else { return };
        self.set(py, None);
        if !recording.get().is_read(py) {
            base.simulate(py, None);
        }
    }

    /// Notes an entry.
    #[cold]
    pub(crate) fn note(&self, py: Python<'_>, entry: &Recorded<'_>) {
        if let Some(recording) = self.get(py) {
            recording.get().note(py, entry);
        }
    }

    /// The recording.
    #[cold]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Recording>> {
        self.recording.with(py, |recording| recording.as_ref().map(|recording| recording.bind(py).clone()))
    }

    /// A descriptor is registered.
    #[cold]
    pub(crate) fn note_registration(&self, py: Python<'_>, fd: RawFd) {
        let Some(recording) = self.get(py) else { return };
        recording.get().state.with(py, |state| {
            state.registrations += 1;
            let number = state.registrations;
            match &mut state.mode {
                Mode::Writing(writer) => {
                    if writer.registrations.try_reserve(1).is_ok() {
                        writer.registrations.insert(fd, number);
                    }
                }
                Mode::Reading(reader) => drop(reader.registrations.insert(number, fd)),
            }
        });
    }

    /// The poller has reported a descriptor.
    #[cold]
    pub(crate) fn note_event(&self, py: Python<'_>, fd: RawFd, readiness: u32) {
        let Some(recording) = self.get(py) else { return };
        recording.get().write(py, |writer| {
            let number = writer.registrations.get(&fd).copied().unwrap_or(0);
            writer.note(&Recorded::Event(number, readiness));
        });
    }
}

struct State {
    mode: Mode,
    has_loop: bool,
    registrations: u64,
    jobs: u64,
    /// The numbers of the tasks that have run, by those that they have in the process.
    tasks: HashMap<u64, u64>,
    /// By thread: the job that it is at.
    running: Vec<(u64, u64)>,
}

enum Mode {
    Writing(Writer),
    Reading(Reader),
}

/// What the surroundings of a loop do.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Recording {
    state: GilCell<State>,
}

impl Recording {
    fn new(mode: Mode) -> Self {
        let (tasks, running) = (HashMap::new(), Vec::new());
        Self { state: GilCell::new(State { mode, has_loop: false, registrations: 0, jobs: 0, tasks, running }) }
    }

    fn write(&self, py: Python<'_>, write: impl FnOnce(&mut Writer)) {
        self.state.with(py, |state| {
            if let Mode::Writing(writer) = &mut state.mode {
                write(writer);
            }
        });
    }

    fn read<R>(&self, py: Python<'_>, read: impl FnOnce(&mut Reader) -> R) -> Option<R> {
        self.state.with(py, |state| match &mut state.mode {
            Mode::Reading(reader) => Some(read(reader)),
            Mode::Writing(_) => None,
        })
    }

    /// Receives into a buffer: from the system, or what is recorded.
    pub(crate) fn receive(
        &self,
        py: Python<'_>,
        operation: Operation,
        buffer: &mut [u8],
        real: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.is_read(py) {
            return self.give(py, operation, 0, |count, data| match data {
                _ if count == 0 => true,
                Some(data) if data.len() as u64 == count && data.len() <= buffer.len() => {
                    buffer[..data.len()].copy_from_slice(data);
                    true
                }
                Some(_) | None => false,
            });
        }
        let answer = real(buffer);
        let count = *answer.as_ref().unwrap_or(&0);
        self.take(py, operation, 0, &answer, &buffer[..count]);
        answer
    }

    /// The recorded answer; "would block" once the program has left the recording.
    pub(crate) fn give(
        &self,
        py: Python<'_>,
        operation: Operation,
        offered: usize,
        receive: impl FnOnce(u64, Option<&[u8]>) -> bool,
    ) -> io::Result<usize> {
        let answer = self.read(py, |reader| reader.answer(operation, offered as u64, receive)).flatten();
        match answer {
            Some(Ok(number)) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
            Some(Err(number)) if number != 0 => Err(io::Error::from_raw_os_error(number)),
            Some(Err(_)) | None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Notes the system's answer.
    pub(crate) fn take(
        &self,
        py: Python<'_>,
        operation: Operation,
        offered: usize,
        answer: &io::Result<usize>,
        data: &[u8],
    ) {
        self.state.with(py, |state| {
            let Mode::Writing(writer) = &mut state.mode else { return };
            let answer = match answer {
                Ok(number) => Ok(*number as u64),
                Err(error) => Err(error.raw_os_error().unwrap_or(0)),
            };
            let is_kept = answer.is_ok()
                && (matches!(operation, Operation::Accept | Operation::Address)
                    || (writer.keeps_data && operation_is_for_data(operation)));
            let data = if is_kept { data } else { &[] };
            writer.note_with(&Recorded::Answer(operation, offered as u64, answer, is_kept.then_some(data)), data);
        });
    }

    /// Whether it gives what is recorded.
    pub(crate) fn is_read(&self, py: Python<'_>) -> bool {
        self.read(py, |_| ()).is_some()
    }

    /// Notes an entry.
    pub(crate) fn note(&self, py: Python<'_>, entry: &Recorded<'_>) {
        self.write(py, |writer| writer.note(entry));
    }

    /// Writes what is kept.
    pub(crate) fn flush(&self, py: Python<'_>) {
        self.write(py, Writer::flush);
    }

    /// The number of a task in the recording: tasks are counted in the order of their first steps, because those of other
    /// threads have numbers, too. Also whether this is its first one. 0 for none, and without memory.
    pub(crate) fn number_of(&self, py: Python<'_>, task: u64) -> (u64, bool) {
        self.state.with(py, |state| {
            if task == 0 || state.tasks.try_reserve(1).is_err() {
                return (0, false);
            }
            let next = state.tasks.len() as u64 + 1;
            let number = *state.tasks.entry(task).or_insert(next);
            (number, number == next)
        })
    }

    /// The error that has ended writing, told once, and whether nothing more is written.
    pub(crate) fn progress(&self, py: Python<'_>) -> (Option<i32>, bool) {
        let mut progress = (None, false);
        self.write(py, |writer| progress = (writer.take_failure(), writer.is_over()));
        progress
    }

    /// Whether nothing more is written.
    fn is_over(&self, py: Python<'_>) -> bool {
        let mut is_over = false;
        self.write(py, |writer| is_over = writer.is_over());
        is_over
    }

    /// A number for a job.
    pub(crate) fn next_job(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |state| {
            state.jobs += 1;
            state.jobs
        })
    }

    /// How many jobs have numbers.
    pub(crate) fn jobs(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |state| state.jobs)
    }

    /// The calling thread is at this job, or, for 0, no longer at one.
    pub(crate) fn set_job(&self, py: Python<'_>, job: u64) {
        let thread = thread_identifier(py);
        self.state.with(py, |state| {
            state.running.retain(|(other, _)| *other != thread);
            if job != 0 && state.running.try_reserve(1).is_ok() {
                state.running.push((thread, job));
            }
        });
    }

    /// The job that the calling thread is at; 0 for none.
    pub(crate) fn job_of_thread(&self, py: Python<'_>) -> u64 {
        let thread = thread_identifier(py);
        self.state.with(py, |state| state.running.iter().find(|(other, _)| *other == thread).map_or(0, |(_, job)| *job))
    }

    /// Where the program has left it, if it has.
    pub(crate) fn left(&self, py: Python<'_>) -> Option<Left> {
        self.read(py, |reader| reader.left().cloned()).flatten()
    }

    /// The program has left it.
    pub(crate) fn leave(&self, py: Python<'_>, came: impl Into<String>) {
        self.read(py, |reader| reader.leave(came));
    }

    /// The same after an entry was read, of which something has not come.
    pub(crate) fn leave_before(&self, py: Python<'_>, expected: String, came: String) {
        self.read(py, |reader| reader.leave_before(expected, came));
    }

    pub(crate) fn begin_turn(&self, py: Python<'_>) {
        self.read(py, Reader::begin_turn);
    }

    pub(crate) fn end_poll(&self, py: Python<'_>) {
        self.read(py, Reader::end_poll);
    }

    pub(crate) fn end_step(&self, py: Python<'_>, task: u64, came: &str) {
        let (task, _) = self.number_of(py, task);
        self.read(py, |reader| reader.end_step(task, came));
    }

    pub(crate) fn take_landing(&self, py: Python<'_>) -> Option<Landing> {
        self.read(py, Reader::take_landing).flatten()
    }

    pub(crate) fn take_landings(&self, py: Python<'_>) -> Vec<Landing> {
        self.read(py, Reader::take_landings).unwrap_or_default()
    }

    /// What a program that reads the clock sees.
    pub(crate) fn read_clock(&self, py: Python<'_>) -> f64 {
        self.read(py, Reader::read_clock).unwrap_or(f64::NAN)
    }

    pub(crate) fn set_clock(&self, py: Python<'_>, seconds: f64) {
        self.read(py, |reader| reader.set_clock(seconds));
    }

    /// The descriptor of a registration.
    pub(crate) fn descriptor(&self, py: Python<'_>, registration: u64) -> Option<RawFd> {
        self.read(py, |reader| reader.registrations.get(&registration).copied()).flatten()
    }

    /// What a lookup, which is this job, has found.
    pub(crate) fn lookup(&self, py: Python<'_>, job: u64) -> Option<String> {
        self.read(py, |reader| reader.lookup(job).map(str::to_owned)).flatten()
    }
}

#[pymethods]
impl Recording {
    /// Write to this descriptor, at most `limit` bytes, with the data that connections receive if `keeps_data`.
    #[staticmethod]
    fn writing(descriptor: i32, limit: usize, keeps_data: bool) -> Self {
        Self::new(Mode::Writing(Writer::new(descriptor, limit, keeps_data)))
    }

    /// Read what was written, with the data that connections received if `has_data`; `ValueError` if it is no recording.
    #[staticmethod]
    fn reading(data: &[u8], has_data: bool) -> PyResult<Self> {
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(data.len()).is_err() {
            return Err(ferrio_cpython::error::<pyo3::exceptions::PyMemoryError>(()));
        }
        bytes.extend_from_slice(data);
        let reader = Reader::new(bytes, has_data).map_err(|place| {
            ferrio_cpython::error::<PyValueError>(format!("there is no entry of a recording at byte {place}"))
        })?;
        Ok(Self::new(Mode::Reading(reader)))
    }

    /// End it; gives the number of the error that it had, if any and if it was not told.
    fn finish(slf: &Bound<'_, Self>) -> Option<i32> {
        let mut failure = None;
        slf.get().write(slf.py(), |writer| {
            writer.end(Ending::Stopped);
            failure = writer.take_failure();
        });
        awaited::forget(slf.as_any());
        failure
    }

    /// Whether a loop has had it.
    #[getter]
    fn has_loop(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.has_loop)
    }

    /// The turn, and the number of the last entry that was read.
    #[getter]
    fn place(&self, py: Python<'_>) -> (u64, u64) {
        self.read(py, |reader| reader.place()).unwrap_or_default()
    }
}

/// Lets the next loop that the calling thread runs have this recording.
///
/// # Errors
/// `RuntimeError` if it is to have another one, and `MemoryError`.
pub(crate) fn await_loop(recording: &Bound<'_, Recording>, seams: &'static Seams) -> PyResult<()> {
    let is_over =
        |other: &Bound<'_, PyAny>| other.cast::<Recording>().is_ok_and(|other| other.get().is_over(other.py()));
    awaited::add(recording.as_any(), seams, is_over)
}

/// Whether the calling thread runs the loop.
pub(crate) fn is_own_thread(base: &LoopBase, py: Python<'_>) -> bool {
    base.thread() == Some(thread_identifier(py))
}

fn operation_is_for_data(operation: Operation) -> bool {
    matches!(operation, Operation::Receive | Operation::ReceiveFrom)
}
