//! Errors: what becomes of a failure in one of many tasks.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::future::pending;

use ferrio::{Failure, gather, join_all, run, spawn, task_group};

async fn might_fail(number: u32) -> Result<u32, String> {
    ferrio::yield_now().await;
    if number.is_multiple_of(2) { Err(format!("bad number {number}")) } else { Ok(number) }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        for outcome in join_all((1..4).map(might_fail)).await {
            match outcome? {
                Ok(number) => println!("success: {number}"),
                Err(error) => println!("caught: {error}"),
            }
        }

        let failure = gather((1..4).map(might_fail)).await.expect_err("2 is bad");
        println!("the first failure: {failure}");

        // A group waits for all its tasks; the first failure cancels the others.
        let outcome = task_group(async |group| {
            drop(group.spawn(might_fail(2)));
            drop(group.spawn(pending::<Result<(), String>>()));
            pending::<Result<(), String>>().await
        });
        for failure in outcome.await.expect_err("2 is bad").into_failures() {
            match failure {
                Failure::Error(error) => println!("in the group: {error}"),
                Failure::Task(error) => println!("in the group: {error}"),
            }
        }

        // A panic ends its task only.
        let task = spawn(async { Vec::<u32>::new()[0] });
        println!("{}", task.await.expect_err("it panicked"));
        Ok(())
    })?
}
