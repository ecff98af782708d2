//! All of it together: a scraper of a site that this program serves itself.
#![expect(clippy::print_stdout, reason = "an example")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ferrio::net::{TcpListener, TcpStream, open_connection};
use ferrio::{Queue, Semaphore, TaskGroup, run, spawn, task_group, timeout};
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

const PAGES: u32 = 50;

/// A page of the site: links to two others. Page 13 never answers.
async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request).await?;
    let page: u32 = request.trim().parse().map_err(io::Error::other)?;
    if page == 13 {
        std::future::pending::<()>().await;
    }
    let text = format!("{} {}", page * 2 % PAGES, (page * 2 + 1) % PAGES);
    (&stream).write_all(text.as_bytes()).await
}

async fn fetch(port: u16, page: u32) -> io::Result<String> {
    let mut stream = open_connection("127.0.0.1", port).await?;
    stream.write_all(format!("{page}\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// What the workers share.
struct Crawl {
    port: u16,
    pages: Queue<u32>,
    seen: RefCell<BTreeSet<u32>>,
    outcomes: RefCell<BTreeMap<u32, Result<usize, String>>>,
    requests: Semaphore,
}

impl Crawl {
    fn add(&self, page: u32) {
        if self.seen.borrow_mut().insert(page) {
            self.pages.try_put(page).expect("there is no limit");
        }
    }

    async fn visit(&self, page: u32) {
        let permit = self.requests.acquire().await;
        let outcome = match timeout(Duration::from_millis(300), fetch(self.port, page)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(error.to_string()),
            Err(elapsed) => Err(elapsed.to_string()),
        };
        drop(permit);
        if let Ok(text) = &outcome {
            text.split(' ').filter_map(|link| link.parse().ok()).for_each(|link| self.add(link));
        }
        self.outcomes.borrow_mut().insert(page, outcome.map(|text| text.len()));
    }
}

fn start_workers(group: &TaskGroup<io::Error>, crawl: &Rc<Crawl>) {
    for _ in 0..8 {
        let crawl = Rc::clone(crawl);
        drop(group.spawn(async move {
            while let Ok(page) = crawl.pages.get().await {
                crawl.visit(page).await;
                crawl.pages.task_done();
            }
            Ok(())
        }));
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let crawl = Rc::new(Crawl {
            port: listener.local_addr()?.port(),
            pages: Queue::unbounded(),
            seen: RefCell::default(),
            outcomes: RefCell::default(),
            requests: Semaphore::new(5),
        });
        let server = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(spawn(serve(stream)));
            }
        });
        crawl.add(1);
        task_group(async |group| {
            start_workers(&group, &crawl);
            crawl.pages.join().await;
            crawl.pages.shutdown(false);
            Ok::<(), io::Error>(())
        })
        .await?;
        server.cancel();
        let outcomes = crawl.outcomes.borrow();
        let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
        println!("{} pages, of which failed: {failed:?}", outcomes.len());
        assert_eq!(failed.len(), 1, "page 13 never answers");
        Ok(())
    })?
}
