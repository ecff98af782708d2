//! Looking at what is going on: `current_task` and `all_tasks`, and time that is only pretended.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::{Duration, Instant};

use ferrio::{Runtime, current_task, testing};

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
    Ok(())
}
