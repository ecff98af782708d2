//! Whether a connection's registration keeps its transport alive.
//!
//! It does while the loop has to read or send for the connection, so a program may drop a transport whose protocol is
//! still to be called. Otherwise only the program's own reference keeps the transport alive: without one it is
//! collected, with a warning, and closed. asyncio registers nothing for such a transport; ferrio keeps a weak
//! registration.

use pyo3::prelude::*;

use super::SocketTransport;
use super::read;
use crate::event_loop::handler::Handler;

/// Makes the registration strong or weak, as the transport's state requires.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn update_registration(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let wanted = this.state.with(py, |state| {
        let wanted = state.is_reading() || !state.buffer.is_empty() || state.exclusive.is_taken();
        (!state.lifecycle.is_lost() && wanted != state.keeps_alive).then_some(wanted)
    });
    let (Some(wanted), Some(owner)) = (wanted, this.owner(py)) else { return Ok(()) };
    let handler =
        if wanted { Handler::native(transport, read::on_event) } else { Handler::weak(transport, read::on_event)? };
    this.state.with(py, |state| state.keeps_alive = wanted);
    let before = owner.get().io.exchange_stream(py, this.fd, handler);
    drop(before);
    Ok(())
}
