//! Looking at what is going on: `current_task` and `all_tasks`, time that is only pretended, and a race that is found.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::{Duration, Instant};

use ferrio::testing::{self, Explorer, Fault};
use ferrio::{Runtime, as_completed, current_task, to_thread};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new();
    let task = runtime.spawn(async { current_task() });
    let waiting = runtime.spawn(std::future::pending::<()>());
    println!("{:?}", runtime.all_tasks());
    let id = task.id();
    assert_eq!(runtime.run_until(task)??, Some(id));
    assert_eq!(runtime.all_tasks(), [waiting.id()]);

    let begin = Instant::now();
    testing::run_in_virtual_time(ferrio::sleep(Duration::from_secs(3600)))?;
    println!("an hour in {:?}", begin.elapsed());

    let finding = Explorer::new().run(two_calls).expect_err("the calls may end in another order");
    println!("{finding}");
    assert!(matches!(finding.fault(), Fault::Panicked(_)));
    Ok(())
}

/// Trusts that the call which began first ends first.
async fn two_calls() {
    let mut outcomes = as_completed([1, 2].map(|number| to_thread(move || number)));
    let first = outcomes.next().await.expect("there are two");
    assert_eq!(first.expect("it has a result"), 1);
}
