//! Event: many wait until one says go.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::rc::Rc;

use ferrio::{Event, run, spawn, yield_now};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let is_ready = Rc::new(Event::new());
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let is_ready = Rc::clone(&is_ready);
                spawn(async move {
                    is_ready.wait().await;
                    println!("{number} goes on");
                })
            })
            .collect();
        yield_now().await;
        println!("the service is ready");
        is_ready.set();
        for task in waiting {
            task.await?;
        }
        is_ready.clear();
        assert!(!is_ready.is_set());
        Ok(())
    })?
}
