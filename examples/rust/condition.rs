//! Condition: wait until something that others change is as you want it.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::rc::Rc;

use ferrio::{Condition, Lock, run, spawn};

/// A store with a lock and two conditions that share it.
#[derive(Default)]
struct Store {
    apples: Lock<u32>,
    has_more: Condition,
    has_less: Condition,
}

impl Store {
    async fn take(&self, count: u32) {
        let mut apples = self.has_more.wait_for(self.apples.acquire().await, |apples| *apples >= count).await;
        *apples -= count;
        println!("took {count}, {} are left", *apples);
        self.has_less.notify_all();
    }

    async fn bring(&self, count: u32) {
        let mut apples = self.has_less.wait_for(self.apples.acquire().await, |apples| *apples + count <= 5).await;
        *apples += count;
        self.has_more.notify_all();
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let store = Rc::new(Store::default());
        let buyer = Rc::clone(&store);
        let buying = spawn(async move {
            for count in [3, 2, 4] {
                buyer.take(count).await;
            }
        });
        for _ in 0..3 {
            store.bring(3).await;
        }
        buying.await?;
        assert_eq!(*store.apples.acquire().await, 0);
        Ok(())
    })?
}
