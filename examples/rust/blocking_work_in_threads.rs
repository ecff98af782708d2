//! Blocking work in threads: the others go on meanwhile.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::fs;
use std::time::Duration;

use ferrio::{run, spawn, to_thread};

fn count_files(folder: &str) -> std::io::Result<usize> {
    Ok(fs::read_dir(folder)?.count())
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let ticking = spawn(async {
            for tick in 0..3 {
                println!("tick {tick}");
                ferrio::sleep(Duration::from_millis(1)).await;
            }
        });
        println!("{} files", to_thread(|| count_files("/")).await?);
        ticking.await?;

        // A panic comes back to who awaits.
        let task = spawn(to_thread(|| -> u32 { panic!("out of luck") }));
        println!("{}", task.await.expect_err("it panicked"));
        Ok(())
    })?
}
