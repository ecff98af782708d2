//! Lines over a stream that the loop watches.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use ferrio_bridge::AsyncFd;
use pyo3::prelude::*;

/// A connection whose both ends send lines.
pub(crate) struct Lines {
    stream: AsyncFd<TcpStream>,
    /// Received, and not yet returned.
    buffer: RefCell<Vec<u8>>,
}

impl Lines {
    pub(crate) fn new(stream: TcpStream) -> PyResult<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let stream = Python::attach(|py| AsyncFd::new(py, stream))?;
        Ok(Self { stream, buffer: RefCell::default() })
    }

    /// The next line without its end; None at the end of the stream.
    pub(crate) async fn next(&self) -> PyResult<Option<String>> {
        let mut searched = 0;
        loop {
            let end = self.buffer.borrow()[searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let mut line: Vec<u8> = self.buffer.borrow_mut().drain(..=searched + end).collect();
                line.pop();
                let text =
                    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                return Ok(Some(text));
            }
            searched = self.buffer.borrow().len();
            let mut chunk = [0; 4096];
            let count = self.stream.read_with(|mut stream| stream.read(&mut chunk)).await?;
            if count == 0 {
                return Ok(None);
            }
            self.buffer.borrow_mut().extend_from_slice(&chunk[..count]);
        }
    }

    /// Sends `line` and its end.
    pub(crate) async fn send(&self, line: &str) -> PyResult<()> {
        let bytes = [line.as_bytes(), b"\n"].concat();
        let mut left = &bytes[..];
        while !left.is_empty() {
            let count = self.stream.write_with(|mut stream| stream.write(left)).await?;
            left = &left[count..];
        }
        Ok(())
    }
}
