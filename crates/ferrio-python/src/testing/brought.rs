//! `Replay`: what other threads have brought in a run that repeats a recording, until it lands.

use std::collections::HashMap;

use ferrio_cpython::Runnable;
use pyo3::prelude::*;

use crate::event_loop::recording::Recording;

/// What is left of a recording, and what other threads have brought.
pub(super) struct Replay {
    pub(super) recording: Py<Recording>,
    /// Jobs that no thread has begun with.
    pub(super) jobs: HashMap<u64, Py<PyAny>>,
    /// The outcomes of jobs that have not landed.
    pub(super) outcomes: HashMap<u64, Runnable>,
    /// Calls of jobs and of threads that have not landed.
    pub(super) calls: Vec<(u64, String, Runnable)>,
}

impl Replay {
    pub(super) fn new(recording: Py<Recording>) -> Self {
        Self { recording, jobs: HashMap::new(), outcomes: HashMap::new(), calls: Vec::new() }
    }
}
