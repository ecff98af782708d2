//! Queue: a producer, several consumers, and back pressure between them.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::rc::Rc;

use ferrio::{PriorityQueue, Queue, run, spawn, yield_now};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let queue = Rc::new(Queue::bounded(2));
        let source = Rc::clone(&queue);
        let producer = spawn(async move {
            for item in 0..6 {
                source.put(item).await.expect("it is open"); // waits while the queue is full
            }
        });
        let consumers: Vec<_> = ["A", "B"]
            .map(|name| {
                let queue = Rc::clone(&queue);
                spawn(async move {
                    while let Ok(item) = queue.get().await {
                        println!("{name} consumes {item}");
                        yield_now().await;
                        queue.task_done();
                    }
                })
            })
            .into();
        producer.await?;
        queue.join().await; // until all is processed
        queue.shutdown(false); // no sentinel is needed
        for consumer in consumers {
            consumer.await?;
        }

        let urgent_first = PriorityQueue::unbounded();
        for job in [(2, "tidy up"), (0, "put out the fire"), (1, "have lunch")] {
            urgent_first.try_put(job)?;
        }
        while let Ok((_, job)) = urgent_first.try_get() {
            println!("{job}");
        }
        Ok(())
    })?
}
