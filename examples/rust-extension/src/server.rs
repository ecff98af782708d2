//! The server: `server = serve(handler)`, where `handler` is an `async def` that maps a line to its answer.

use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use ferrio_bridge::{AsyncFd, await_py, spawn_local};
use pyo3::prelude::*;

use crate::lines::Lines;

/// A server on a port of this machine that the system has chosen.
#[pyclass(frozen)]
pub(crate) struct Server {
    #[pyo3(get)]
    port: u16,
    /// The task that accepts connections.
    accepting: Mutex<Option<Py<PyAny>>>,
}

/// Starts a server on the running loop.
#[pyfunction]
pub(crate) fn serve(py: Python<'_>, handler: Py<PyAny>) -> PyResult<Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let listener = AsyncFd::new(py, listener)?;
    let accepting = spawn_local(py, accept(listener, handler))?;
    Ok(Server { port, accepting: Mutex::new(Some(accepting.unbind())) })
}

async fn accept(listener: AsyncFd<TcpListener>, handler: Py<PyAny>) -> PyResult<()> {
    loop {
        let (stream, _) = listener.read_with(TcpListener::accept).await?;
        Python::attach(|py| spawn_local(py, answer(stream, handler.clone_ref(py))).map(drop))?;
    }
}

/// Answers the lines of one connection, until its peer closes it.
async fn answer(stream: TcpStream, handler: Py<PyAny>) -> PyResult<()> {
    let lines = Lines::new(stream)?;
    while let Some(line) = lines.next().await? {
        let call = Python::attach(|py| handler.call1(py, (line,)))?;
        let answer = await_py(call).await?;
        let answer: String = Python::attach(|py| answer.extract(py))?;
        lines.send(&answer).await?;
    }
    Ok(())
}

#[pymethods]
impl Server {
    /// Accepts no more connections. Open ones go on.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let accepting = self.accepting.lock().expect("no code panics under this lock").take();
        if let Some(task) = accepting {
            task.call_method0(py, "cancel")?;
        }
        Ok(())
    }
}
