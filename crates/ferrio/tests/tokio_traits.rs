//! With the feature `tokio`, sockets and pipes read and write by tokio's traits.
#![cfg(feature = "tokio")]

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::{Command, Stdio};

use ferrio::net::{TcpListener, TcpStream};
use ferrio::{run, spawn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let count = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, data)).await?;
        data = &data[count..];
    }
    poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await?;
    poll_fn(|context| Pin::new(&mut *stream).poll_shutdown(context)).await
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let mut space = [0; 1000];
        let mut buffer = ReadBuf::new(&mut space);
        poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await?;
        if buffer.filled().is_empty() {
            return Ok(data);
        }
        data.extend_from_slice(buffer.filled());
    }
}

#[test]
fn a_connection_carries_bytes_until_its_writing_half_is_shut_down() {
    let received = run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        let server = spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let request = read_to_end(&mut stream).await?;
            write_all(&mut stream, &request).await
        });
        let mut stream = TcpStream::connect(address).await?;
        write_all(&mut stream, &[7; 10_000]).await?;
        let received = read_to_end(&mut stream).await?;
        server.await.expect("it does not panic")?;
        Ok::<_, io::Error>(received)
    });
    assert_eq!(received.expect("it runs").expect("it is connected"), [7; 10_000]);
}

#[test]
fn the_pipes_of_a_child_carry_bytes() {
    let output = run(async {
        let mut command = Command::new("cat");
        let mut child = ferrio::process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let mut stdin = child.stdin.take().expect("it is a pipe");
        write_all(&mut stdin, b"hello").await?;
        drop(stdin);
        let output = read_to_end(&mut child.stdout.take().expect("it is a pipe")).await?;
        assert!(child.wait().await?.success());
        Ok::<_, io::Error>(output)
    });
    assert_eq!(output.expect("it runs").expect("it starts"), b"hello");
}
