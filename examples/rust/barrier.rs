//! Barrier: nobody goes on before all are there.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::rc::Rc;

use ferrio::{Barrier, BrokenBarrier, run, spawn, yield_now};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let barrier = Rc::new(Barrier::new(3));
        let parties: Vec<_> = (0..3)
            .map(|name| {
                let barrier = Rc::clone(&barrier);
                spawn(async move {
                    for round in 0..2 {
                        let arrived = barrier.wait().await?;
                        if arrived.position() == 2 {
                            println!("round {round} begins; {name} came last");
                        }
                    }
                    Ok::<(), BrokenBarrier>(())
                })
            })
            .collect();
        for party in parties {
            party.await??;
        }

        let waiting = Rc::clone(&barrier);
        let alone = spawn(async move { waiting.wait().await });
        yield_now().await;
        barrier.abort();
        println!("{}", alone.await?.expect_err("it was aborted"));
        barrier.reset();
        assert!(!barrier.is_broken());
        Ok(())
    })?
}
