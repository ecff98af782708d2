//! Lock: one at a time, where an await stands in the middle of something that belongs together.
#![expect(clippy::print_stdout, reason = "an example")]

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use ferrio::{Lock, join_all, run, yield_now};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        // Without a lock: all read the same value, then write.
        let count = Rc::new(Cell::new(0));
        let racing = (0..5).map(|_| {
            let count = Rc::clone(&count);
            async move {
                let before = count.get();
                yield_now().await;
                count.set(before + 1);
            }
        });
        join_all(racing).await;
        println!("without a lock: {}", count.get());

        // With one: the lock owns the data, the guard is the way to it.
        let values = Rc::new(Lock::new(Vec::new()));
        let appending = (0..5).map(|value| {
            let values = Rc::clone(&values);
            async move {
                let mut values = values.acquire().await;
                yield_now().await;
                values.push(value);
            }
        });
        join_all(appending).await;
        assert_eq!(*values.acquire().await, [0, 1, 2, 3, 4], "they are served in the order they came");
        Ok(())
    })?
}
