//! Sockets: a server that talks in rows of text, and its clients.
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::io;

use ferrio::net::{TcpListener, TcpStream, open_connection};
use ferrio::{join_all, run, spawn};
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncWriteExt, StreamExt};

/// Answers each row with its upper case.
async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut rows = BufReader::new(&stream).lines();
    let mut writer = &stream;
    while let Some(row) = rows.next().await {
        writer.write_all(format!("{}\n", row?.to_uppercase()).as_bytes()).await?;
    }
    Ok(())
}

async fn ask(port: u16, question: String) -> io::Result<String> {
    let stream = open_connection("localhost", port).await?;
    (&stream).write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).await?;
    Ok(answer.trim_end().to_owned())
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let port = listener.local_addr()?.port();
        let server = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(spawn(serve(stream)));
            }
        });
        let server = server.cancel_on_drop();
        for answer in join_all((0..3).map(|number| ask(port, format!("hello {number}")))).await {
            println!("{}", answer??);
        }
        drop(server);
        Ok(())
    })?
}
