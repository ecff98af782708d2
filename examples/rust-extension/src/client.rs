//! The client: `client = await connect(host, port)`, then `await client.request("line")`.

use std::net::TcpStream;
use std::rc::Rc;

use ferrio_bridge::coroutine;
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;

use crate::lines::Lines;
use crate::threads::run_blocking;

/// A connection to a server. It belongs to the thread of the loop that made it.
#[pyclass(frozen, unsendable)]
pub(crate) struct Client {
    lines: Rc<Lines>,
}

/// Connects; the name may take a while to look up, so a thread does that.
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, host: String, port: u16) -> PyResult<Bound<'_, PyAny>> {
    coroutine(py, async move {
        let stream = run_blocking(move || TcpStream::connect((host.as_str(), port))).await?;
        Ok::<_, PyErr>(Client { lines: Rc::new(Lines::new(stream)?) })
    })
}

#[pymethods]
impl Client {
    /// Sends `line` and returns the answer. One request at a time: the answers have no names.
    fn request<'py>(&self, py: Python<'py>, line: String) -> PyResult<Bound<'py, PyAny>> {
        let lines = Rc::clone(&self.lines);
        coroutine(py, async move {
            lines.send(&line).await?;
            lines.next().await?.ok_or_else(|| PyConnectionError::new_err("the server has closed the connection"))
        })
    }
}
