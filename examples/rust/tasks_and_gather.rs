//! Tasks and gather: several futures at the same time.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::{Duration, Instant};

use ferrio::{gather, join_all, run, spawn};

async fn worker(name: &'static str, milliseconds: u64) -> Result<String, String> {
    println!("{name} started");
    ferrio::sleep(Duration::from_millis(milliseconds)).await;
    println!("{name} finished");
    Ok(format!("result of {name}"))
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let begin = Instant::now();
        let first = spawn(worker("A", 20));
        let second = spawn(worker("B", 10));
        println!("{:?} {:?}", first.await?, second.await?);
        println!("together after {:?}", begin.elapsed());

        // Results in the order of the futures; the first error ends the wait.
        let results = gather([worker("C", 2), worker("D", 1)]).await?;
        assert_eq!(results, ["result of C", "result of D"]);

        // All outcomes, whatever they are.
        let squares = join_all((0..3_u32).map(|number| async move { number * number })).await;
        assert_eq!(squares.into_iter().flatten().collect::<Vec<_>>(), [0, 1, 4]);
        Ok(())
    })?
}
