//! Private attributes of asyncio's write pipe transport that tools read.

use pyo3::prelude::*;

use super::WritePipeTransport;
use crate::transports::private_attributes::{show_flow, show_pipe_end};

show_flow!(WritePipeTransport, |state| state.lost);
show_pipe_end!(WritePipeTransport);

#[pymethods]
impl WritePipeTransport {
    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.flow.is_paused())
    }
}
