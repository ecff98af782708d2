//! CPU work: in Rust threads compute at the same time, so no processes are needed.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::process::Command;

use ferrio::{join_all, run, to_thread};

fn sum_of_squares(end: u64) -> u64 {
    (0..end).map(|number| number * number % 7).sum()
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let sums = join_all([100_000, 200_000, 300_000].map(|end| to_thread(move || sum_of_squares(end)))).await;
        for sum in sums {
            println!("{}", sum?);
        }
        // Another program, with pipes.
        let output = ferrio::process::output(&mut Command::new("uname")).await?;
        println!("{}", String::from_utf8_lossy(&output.stdout).trim());
        Ok(())
    })?
}
