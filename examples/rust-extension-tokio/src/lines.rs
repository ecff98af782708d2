//! Client and server: `client = await connect(host, port)`, `await client.request("line")`, and `server = serve(handler)`.

use std::sync::Arc;

use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::{future_into_py, get_current_locals, get_runtime, into_future, scope};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A connection to a server.
#[pyclass(frozen)]
pub(crate) struct Client {
    stream: Arc<Mutex<BufReader<TcpStream>>>,
}

/// Connects.
#[pyfunction]
pub(crate) fn connect(py: Python<'_>, host: String, port: u16) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async move {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: Arc::new(Mutex::new(BufReader::new(stream))) })
    })
}

#[pymethods]
impl Client {
    /// Sends `line` and returns the answer.
    fn request<'py>(&self, py: Python<'py>, line: String) -> PyResult<Bound<'py, PyAny>> {
        let stream = Arc::clone(&self.stream);
        future_into_py(py, async move {
            let mut stream = stream.lock().await;
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            let mut answer = String::new();
            if stream.read_line(&mut answer).await? == 0 {
                return Err(PyConnectionError::new_err("the server has closed the connection"));
            }
            answer.pop();
            Ok(answer)
        })
    }
}

/// A server on a port of this machine that the system has chosen.
#[pyclass(frozen)]
pub(crate) struct Server {
    #[pyo3(get)]
    port: u16,
    /// The task that accepts connections.
    accepting: JoinHandle<()>,
}

/// Starts a server, whose handlers run on the running loop.
#[pyfunction]
pub(crate) fn serve(py: Python<'_>, handler: Py<PyAny>) -> PyResult<Server> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let handler = Arc::new(handler);
    let locals = get_current_locals(py)?;
    let accepting = get_runtime().spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a socket");
        while let Ok((stream, _)) = listener.accept().await {
            let (handler, locals) = (Arc::clone(&handler), locals.clone());
            tokio::spawn(scope(locals, answer(stream, handler)));
        }
    });
    Ok(Server { port, accepting })
}

#[pymethods]
impl Server {
    /// Accepts no more connections. Open ones go on.
    fn close(&self) {
        self.accepting.abort();
    }
}

/// Answers the lines of one connection, until its peer closes it.
async fn answer(stream: TcpStream, handler: Arc<Py<PyAny>>) -> PyResult<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        line.pop();
        let call = Python::attach(|py| into_future(handler.call1(py, (line.as_str(),))?.into_bound(py)))?;
        let answer = call.await?;
        let answer: String = Python::attach(|py| answer.extract(py))?;
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}
