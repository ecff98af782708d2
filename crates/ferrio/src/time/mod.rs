//! Time: sleeping, timeouts, and the clock that they go by.

mod instant;
mod sleep;
mod timeout;
mod yield_now;

pub use instant::{Instant, now};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, TimeoutScope, timeout, timeout_at, timeout_scope};
pub use yield_now::{YieldNow, yield_now};
