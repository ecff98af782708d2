//! Waiting for some of many: `wait`, and `as_completed`.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Duration;

use ferrio::{ReturnWhen, as_completed, run, spawn, timeout, wait};

async fn mirror(milliseconds: u64) -> u64 {
    ferrio::sleep(Duration::from_millis(milliseconds)).await;
    milliseconds
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        // The first result wins, the others are cancelled.
        let mut tasks: Vec<_> = [500, 1, 500].map(|length| spawn(mirror(length))).into();
        for task in wait(&mut tasks, ReturnWhen::FirstCompleted).await {
            println!("the fastest took {} ms", task.await?);
        }
        for task in &tasks {
            task.cancel();
        }

        // As long as there is time: the tasks that are not done stay in the list.
        let mut tasks: Vec<_> = [1, 2, 60_000].map(|length| spawn(mirror(length))).into();
        let outcome = timeout(Duration::from_millis(20), wait(&mut tasks, ReturnWhen::AllCompleted)).await;
        assert!(outcome.is_err());
        let done = wait(&mut tasks, ReturnWhen::FirstCompleted).await;
        println!("{} done, {} not", done.len(), tasks.len());
        for task in tasks {
            task.cancel();
        }

        // As they come.
        let mut outcomes = as_completed([9, 1, 5].map(mirror));
        while let Some(outcome) = outcomes.next().await {
            println!("{} ms", outcome?);
        }
        Ok(())
    })?
}
