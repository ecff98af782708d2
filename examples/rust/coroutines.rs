//! Async functions: they begin when they are awaited, and are put together like plain functions.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Duration;

async fn fetch_data(name: &str) -> Result<String, String> {
    println!("fetching {name}");
    ferrio::sleep(Duration::from_millis(1)).await;
    if name.is_empty() { Err("there is no name".to_owned()) } else { Ok(format!("data of {name}")) }
}

async fn process(names: &[&str]) -> Result<usize, String> {
    let mut length = 0;
    for name in names {
        // Errors travel as in plain functions. Futures may borrow: nothing here is `'static`.
        length += fetch_data(name).await?.len();
    }
    Ok(length)
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let never_awaited = fetch_data("nobody");
    drop(never_awaited); // nothing was fetched
    println!("{} bytes", ferrio::run(process(&["a", "b"]))??);
    assert_eq!(ferrio::run(process(&["a", ""]))?, Err("there is no name".to_owned()));
    Ok(())
}
