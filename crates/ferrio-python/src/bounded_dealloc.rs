//! Registers every class of this crate with `ferrio_cpython::capi::deallocation`, which frees chains of their instances
//! without recursion.
//!
//! `tests/depth/test_depth.py` compares the list with the classes that the sources declare.

use ferrio_cpython::capi::deallocation::bound_depth;
use pyo3::prelude::*;

/// Makes the deallocation of each class's instances run in bounded stack depth.
macro_rules! bound_all {
    ($py:expr, $($class:path,)*) => { $(bound_depth::<$class>($py);)* };
}

/// Registers the classes; must be called after they are created and before there are instances.
pub(crate) fn bound_classes(py: Python<'_>) {
    ferrio_cpython::bound_classes(py);
    bound_all!(
        py,
        crate::anyio::stream_state::StreamState,
        crate::anyio::stream_waits::ItemReceiver,
        crate::anyio::stream_waits::Waiting,
        crate::anyio::fail_after::FailAfter,
        crate::anyio::groups::StartedTask,
        crate::anyio::groups::TaskGroup,
        crate::anyio::groups::TaskHandle,
        crate::anyio::groups::TaskStatus,
        crate::anyio::scopes::CancelScope,
        crate::anyio::task_states::TaskState,
        crate::event_loop::Loop,
        crate::event_loop::executor_future::Link,
        crate::event_loop::missing_attributes::MissingAttribute,
        crate::event_loop::recording::Recording,
        crate::inspect::InspectionService,
        crate::inspect::watchdog::Watchdog,
        crate::net::connect::happy_eyeballs::Watch,
        crate::net::serve::listener::Listener,
        crate::queues::kinds::LifoQueue,
        crate::queues::kinds::PriorityQueue,
        crate::queues::queue::Queue,
        crate::runners::runner::Runner,
        crate::net::sendfile::fallback::FallbackProtocol,
        crate::net::serve::server::Server,
        crate::net::connect::staggered::Attempt,
        crate::streams::open::Factory,
        crate::streams::protocol::StreamReaderProtocol,
        crate::streams::reader::StreamReader,
        crate::streams::writer::StreamWriter,
        crate::locks::barrier::Barrier,
        crate::locks::condition::Condition,
        crate::locks::event::Event,
        crate::locks::wait_queue::WaitQueue,
        crate::locks::lock::Lock,
        crate::locks::semaphore::BoundedSemaphore,
        crate::locks::semaphore::Semaphore,
        crate::task_groups::group::TaskGroup,
        crate::tasks::wrap_future::Chain,
        crate::tasks::as_completed::Completions,
        crate::tasks::as_completed::LazyCompletions,
        crate::tasks::threadsafe::Submission,
        crate::testing::Baton,
        crate::testing::LentThread,
        crate::testing::Simulation,
        crate::timeouts::Timeout,
        crate::transports::socket::close::Loss,
        crate::transports::datagram::DatagramTransport,
        crate::transports::pipe::read::ReadPipeTransport,
        crate::transports::socket::SocketTransport,
        crate::transports::subprocess::SubprocessTransport,
        crate::transports::tls::TlsTransport,
        crate::transports::tls::protocol::TlsProtocol,
        crate::transports::pipe::write::WritePipeTransport,
        crate::tasks::wait::Waiting,
        crate::anyio::threads::pool::WorkerPool,
        crate::threads::executor::Pool,
        crate::threads::job::Job,
        crate::threads::job_queue::JobQueue,
    );
}
