//! Timeouts: never wait longer than you want to.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use ferrio::time::{self, timeout_at, timeout_scope};
use ferrio::{run, timeout};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        match timeout(Duration::from_millis(1), pending::<()>()).await {
            Ok(()) => println!("done"),
            Err(error) => println!("{error}"),
        }

        // A deadline that several steps share.
        let deadline = time::now() + Duration::from_millis(5);
        timeout_at(deadline, ferrio::sleep(Duration::from_millis(1))).await?;
        assert!(timeout_at(deadline, ferrio::sleep(Duration::from_secs(60))).await.is_err());

        // A deadline that moves on while there is progress.
        let outcome = timeout_scope(Some(Duration::from_secs(60)), async |scope| {
            for _ in 0..3 {
                ferrio::sleep(Duration::from_millis(1)).await;
                scope.reschedule(Some(time::now() + Duration::from_millis(5)));
            }
            pending::<()>().await;
        });
        assert!(outcome.await.is_err());

        // Nested: whose timeout it was, its own result says.
        let inner = timeout(Duration::from_secs(60), pending::<()>());
        let outer = timeout(Duration::from_millis(1), inner).await;
        assert!(outer.is_err(), "the inner one has not passed");
        Ok(())
    })?
}
