//! Resources: opening and closing what takes time to open and close (async context managers).
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Duration;

use ferrio::{run, timeout};

struct Connection {
    name: &'static str,
}

impl Connection {
    async fn open(name: &'static str) -> Self {
        ferrio::sleep(Duration::from_millis(1)).await;
        println!("{name} is open");
        Self { name }
    }

    async fn close(self) {
        ferrio::sleep(Duration::from_millis(1)).await;
        println!("{} is closed", self.name);
    }
}

impl Drop for Connection {
    /// For the cases in which nobody can wait: errors and cancelling.
    fn drop(&mut self) {
        println!("{} is released", self.name);
    }
}

/// The shape of `async with`: opens, runs the body, closes, whatever the body returns.
async fn with_connection<T>(name: &'static str, body: impl AsyncFnOnce(&Connection) -> T) -> T {
    let connection = Connection::open(name).await;
    let result = body(&connection).await;
    connection.close().await;
    result
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let length = with_connection("first", async |connection| connection.name.len()).await;
        assert_eq!(length, 5);
        let never = with_connection("second", async |_| std::future::pending::<()>().await);
        assert!(timeout(Duration::from_millis(20), never).await.is_err());
        Ok(())
    })?
}
