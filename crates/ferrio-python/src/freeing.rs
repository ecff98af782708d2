//! Every class of this crate, for `ferrio_cpython::deallocation`: chains of their instances are freed without recursion.
//!
//! `tests/test_depth.py` compares the list with the classes that the sources declare.

use ferrio_cpython::deallocation::bound;
use pyo3::prelude::*;

/// Lets the instances of each class be freed in bounded depth.
macro_rules! bound_all {
    ($py:expr, $($class:path,)*) => { $(bound::<$class>($py);)* };
}

/// To be called once the classes are there, before there are instances.
pub(crate) fn bound_classes(py: Python<'_>) {
    ferrio_cpython::bound_classes(py);
    bound_all!(
        py,
        crate::event_loop::Loop,
        crate::executor_results::Link,
        crate::happy_eyeballs::Watch,
        crate::listener::Listener,
        crate::queues::kinds::LifoQueue,
        crate::queues::kinds::PriorityQueue,
        crate::queues::queue::Queue,
        crate::runners::runner::Runner,
        crate::sendfile::fallback::StandIn,
        crate::server::Server,
        crate::staggered::Attempt,
        crate::streams::opening::Factory,
        crate::streams::protocol::StreamReaderProtocol,
        crate::streams::reader::StreamReader,
        crate::streams::writer::StreamWriter,
        crate::sync::barrier::Barrier,
        crate::sync::condition::Condition,
        crate::sync::event::Event,
        crate::sync::line::Line,
        crate::sync::lock::Lock,
        crate::sync::semaphore::BoundedSemaphore,
        crate::sync::semaphore::Semaphore,
        crate::task_groups::group::TaskGroup,
        crate::tasks::chaining::Chain,
        crate::tasks::completion::Completions,
        crate::tasks::completion::LazyCompletions,
        crate::tasks::threads::Submission,
        crate::timeouts::Timeout,
        crate::transports::closing::Loss,
        crate::transports::datagram::DatagramTransport,
        crate::transports::read_pipe::ReadPipeTransport,
        crate::transports::stream::SocketTransport,
        crate::transports::subprocess::SubprocessTransport,
        crate::transports::tls::TlsTransport,
        crate::transports::tls::protocol::TlsProtocol,
        crate::transports::write_pipe::WritePipeTransport,
        crate::wait::Waiting,
    );
}
