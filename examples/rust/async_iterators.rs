//! Streams: what comes bit by bit (async iterators).
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Duration;

use ferrio::{as_completed, run};
use futures_lite::{Stream, StreamExt, stream};

fn counter(begin: u32, end: u32) -> impl Stream<Item = u32> {
    stream::unfold(begin, move |next| async move {
        ferrio::sleep(Duration::from_millis(1)).await;
        (next < end).then_some((next, next + 1))
    })
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let mut numbers = std::pin::pin!(counter(0, 3));
        while let Some(number) = numbers.next().await {
            println!("{number}");
        }
        // A pipeline.
        let squares: Vec<u32> =
            counter(0, 6).filter(|number| number % 2 == 1).map(|number| number * number).collect().await;
        assert_eq!(squares, [1, 9, 25]);
        // Outcomes of tasks are a stream too.
        let sum = as_completed((0..4_u32).map(|number| async move { number })).filter_map(Result::ok);
        println!("the sum is {}", sum.fold(0, |sum, number| sum + number).await);
        Ok(())
    })?
}
