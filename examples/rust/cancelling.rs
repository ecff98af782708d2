//! Cancelling: stopping a task, and leaving nothing behind.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::future::pending;
use std::rc::Rc;

use ferrio::{Event, TaskError, run, shield, spawn, yield_now};

/// Cleans up when it is dropped, however the task ends.
struct CleanUp(&'static str);

impl Drop for CleanUp {
    fn drop(&mut self) {
        println!("{} cleans up", self.0);
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let task = spawn(async {
            let _clean_up = CleanUp("the task");
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel_with("it is late");
        match task.await {
            Err(TaskError::Cancelled(cancelled)) => println!("{cancelled}"),
            Err(error @ TaskError::Panicked(_)) => return Err(error.into()),
            Ok(()) => unreachable!("it never ends"),
        }

        // A handle that owns its task.
        let owned = spawn(async {
            let _clean_up = CleanUp("the owned task");
            pending::<()>().await;
        });
        let owned = owned.cancel_on_drop();
        yield_now().await;
        drop(owned);
        yield_now().await;

        // What must not be torn in the middle.
        let is_saved = Rc::new(Event::new());
        let saving = Rc::clone(&is_saved);
        let caller = spawn(async move {
            shield(async move {
                yield_now().await;
                saving.set();
            })
            .await
        });
        yield_now().await;
        caller.cancel();
        assert!(caller.await.is_err());
        is_saved.wait().await;
        println!("it is saved nevertheless");
        Ok(())
    })?
}
