//! Semaphore: at most so many at a time.
#![expect(clippy::print_stdout, reason = "an example")]

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use ferrio::{Semaphore, join_all, run};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let semaphore = Rc::new(Semaphore::new(3));
        let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let fetches = (0..10).map(|number| {
            let (semaphore, running, most) = (Rc::clone(&semaphore), Rc::clone(&running), Rc::clone(&most));
            async move {
                let _permit = semaphore.acquire().await;
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                ferrio::sleep(Duration::from_millis(1)).await;
                running.set(running.get() - 1);
                format!("page {number}")
            }
        });
        println!("{} pages, at most {} at a time", join_all(fetches).await.len(), most.get());
        assert_eq!(most.get(), 3);
        Ok(())
    })?
}
