//! Who keeps a connection alive.
//!
//! As long as the loop has something to do for it, to read or to send, its registration does: a program may forget a
//! transport whose protocol is to be called. Else only the program does. One that was forgotten then is collected, warned
//! about and closed, as on asyncio, where nothing is registered for such a transport; ours stays registered, weakly.

use pyo3::prelude::*;

use super::SocketTransport;
use super::read;
use crate::event_loop::io_driver::Handler;

/// Makes the registration hold the transport, or let it go, as its state asks.
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
