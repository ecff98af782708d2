//! Running: in one call, in several calls, and turn by turn.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Duration;

use ferrio::{Runtime, run, spawn, yield_now};

async fn say_hello() -> &'static str {
    println!("hello");
    ferrio::sleep(Duration::from_millis(1)).await;
    "world"
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", run(say_hello())?);

    // One runtime for several runs: tasks go on where the last run has left them.
    let runtime = Runtime::new();
    let task = runtime.spawn(say_hello());
    runtime.run_until(yield_now())?;
    assert_eq!(runtime.run_until(task)??, "world");

    // Until somebody stops it.
    let handle = runtime.handle();
    let stopping = runtime.spawn(async move { handle.stop() });
    runtime.run_forever()?;
    assert!(stopping.is_done());

    // Turn by turn, inside a loop of another library.
    let task = runtime.spawn(async { spawn(async { 42 }).await });
    let mut turns = 0;
    while !task.is_done() {
        runtime.turn(Some(Duration::ZERO))?;
        turns += 1;
    }
    println!("done after {turns} turns");
    Ok(())
}
