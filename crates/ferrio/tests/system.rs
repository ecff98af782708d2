//! Sockets, pipes, children, signals and threads.

use std::io;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use ferrio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use ferrio::{Handle, Runtime, run, spawn, to_thread, yield_now};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

/// Runs a program that may fail.
fn run_io<F: Future<Output = io::Result<()>>>(program: F) {
    run(program).expect("it runs").expect("the system agrees");
}

#[test]
fn many_connections_are_served_at_once_by_one_thread() {
    run_io(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        let server = spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await?;
                drop(spawn(async move {
                    let mut buffer = vec![0; 1024];
                    loop {
                        let count = stream.read(&mut buffer).await?;
                        if count == 0 {
                            return Ok::<(), io::Error>(());
                        }
                        stream.write_all(&buffer[..count]).await?;
                    }
                }));
            }
            #[expect(unreachable_code, reason = "names the error")]
            Ok::<(), io::Error>(())
        });
        let client = |number: u8| async move {
            let mut stream = TcpStream::connect(address).await?;
            let mut answer = [0; 100];
            for _ in 0..5 {
                stream.write_all(&[number; 100]).await?;
                stream.read_exact(&mut answer).await?;
                assert_eq!(answer, [number; 100]);
            }
            Ok::<(), io::Error>(())
        };
        for outcome in ferrio::join_all((0..50).map(client)).await {
            outcome.expect("it does not panic")?;
        }
        server.cancel();
        assert!(server.await.is_err());
        Ok(())
    });
}

#[test]
fn a_write_larger_than_the_buffers_waits_for_its_reader() {
    run_io(async {
        const LENGTH: usize = 4_000_000;
        let (near, far) = UnixStream::pair()?;
        let writer = spawn(async move {
            let mut near = near;
            near.write_all(&vec![7; LENGTH]).await?;
            near.close().await
        });
        yield_now().await;
        assert!(!writer.is_done());
        let mut data = Vec::new();
        let mut far = far;
        far.read_to_end(&mut data).await?;
        assert!(data.len() == LENGTH && data.iter().all(|byte| *byte == 7));
        writer.await.expect("it has a result")
    });
}

#[test]
fn one_task_reads_while_another_writes_to_the_same_socket() {
    run_io(async {
        let (near, mut far) = UnixStream::pair()?;
        let near = Rc::new(near);
        let reading = Rc::clone(&near);
        let reader = spawn(async move {
            let mut buffer = [0; 4];
            (&*reading).read_exact(&mut buffer).await?;
            Ok::<_, io::Error>(buffer)
        });
        yield_now().await;
        (&*near).write_all(b"ping").await?;
        let mut buffer = [0; 4];
        far.read_exact(&mut buffer).await?;
        far.write_all(b"pong").await?;
        assert_eq!((&buffer, &reader.await.expect("it has a result")?), (b"ping", b"pong"));
        Ok(())
    });
}

#[test]
fn a_refused_connection_is_an_error() {
    run_io(async {
        let address = TcpListener::bind(([127, 0, 0, 1], 0).into())?.local_addr()?;
        let error = TcpStream::connect(address).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn a_task_that_never_waits_for_its_socket_lets_the_others_run() {
    run_io(async {
        let (mut near, mut far) = UnixStream::pair()?;
        let busy = spawn(async move {
            let mut buffer = [0; 1];
            loop {
                near.write_all(b"x").await?;
                far.read_exact(&mut buffer).await?;
            }
            #[expect(unreachable_code, reason = "names the error")]
            Ok::<(), io::Error>(())
        });
        for _ in 0..10 {
            yield_now().await;
        }
        busy.cancel();
        assert!(busy.await.is_err());
        Ok(())
    });
}

#[test]
fn a_unix_listener_accepts() {
    run_io(async {
        let folder = std::env::temp_dir().join(format!("ferrio-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path)?;
        let server = spawn(async move { listener.accept().await?.write_all(b"hello").await });
        let mut text = String::new();
        UnixStream::connect(&path).await?.read_to_string(&mut text).await?;
        assert_eq!(text, "hello");
        server.await.expect("it has a result")?;
        std::fs::remove_dir_all(&folder)
    });
}

#[test]
fn a_socket_may_outlive_its_runtime_and_then_fails() {
    let runtime = Runtime::new();
    let (mut near, _far) = runtime.run_until(async { UnixStream::pair() }).expect("it runs").expect("a pair");
    drop(runtime);
    run(async {
        let error = near.read(&mut [0; 1]).await.expect_err("its runtime is gone");
        assert_eq!(error.to_string(), "the runtime of this descriptor is gone");
    })
    .expect("it runs");
}

#[test]
fn a_child_is_awaited_and_may_be_killed() {
    run_io(async {
        let mut child = ferrio::process::start(Command::new("cat").stdin(Stdio::piped()))?;
        assert!(ferrio::timeout(Duration::ZERO, std::future::pending::<()>()).await.is_err());
        child.kill()?;
        let status = child.wait().await?;
        assert!(!status.success() && child.id().is_none());
        assert_eq!(child.wait().await?, status);
        Ok(())
    });
}

#[test]
fn a_pipe_that_is_closed_shows_its_reader_the_end() {
    run_io(async {
        let mut child = ferrio::process::start(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let mut stdin = child.stdin.take().expect("it is a pipe");
        stdin.write_all(b"text").await?;
        stdin.close().await?;
        stdin.close().await?;
        let mut text = String::new();
        child.stdout.take().expect("it is a pipe").read_to_string(&mut text).await?;
        assert_eq!(text, "text");
        assert_eq!(stdin.write(b"more").await.expect_err("it is closed").kind(), io::ErrorKind::BrokenPipe);
        assert!(child.wait().await?.success());
        Ok(())
    });
}

#[test]
fn a_read_into_nothing_does_not_wait() {
    run_io(async {
        let (mut near, mut far) = UnixStream::pair()?;
        assert_eq!(near.read(&mut []).await?, 0);
        assert_eq!(near.read_vectored(&mut []).await?, 0);
        far.write_all(b"x").await?;
        let mut buffer = [0];
        near.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"x");
        Ok(())
    });
}

#[test]
fn a_child_that_is_dropped_is_reaped() {
    run_io(async {
        let child = ferrio::process::start(Command::new("true").stdin(Stdio::null()))?;
        let id = child.id().expect("it runs");
        drop(child);
        // Once it is reaped, it has no entry any more.
        while std::path::Path::new(&format!("/proc/{id}")).exists() {
            ferrio::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    });
}

#[test]
fn both_pipes_of_a_child_are_read_at_the_same_time() {
    run_io(async {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero";
        let output = ferrio::process::output(Command::new("sh").args(["-c", script])).await?;
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
        Ok(())
    });
}

#[test]
fn calls_in_threads_run_at_the_same_time_and_their_panics_come_back() {
    run(async {
        let barrier = std::sync::Arc::new(std::sync::Barrier::new(3));
        let meet = |_| {
            let barrier = std::sync::Arc::clone(&barrier);
            to_thread(move || barrier.wait().is_leader())
        };
        let leaders = ferrio::join_all((0..3).map(meet)).await;
        assert_eq!(leaders.into_iter().filter(|leader| matches!(leader, Ok(true))).count(), 1);
        let task = spawn(to_thread(|| -> () { panic!("broken") }));
        assert_eq!(task.await.expect_err("it panicked").to_string(), "the task panicked: broken");
    })
    .expect("it runs");
}

#[test]
fn the_end_of_a_run_waits_for_calls_in_threads() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (announce_begin, has_begun) = std::sync::mpsc::channel();
    run(async {
        let call = to_thread(move || {
            announce_begin.send(()).expect("it is received");
            std::thread::yield_now();
            sender.send(42).expect("it is received");
        });
        drop(spawn(call));
        yield_now().await;
        has_begun.recv().expect("it is sent");
    })
    .expect("it runs");
    assert_eq!(receiver.try_recv(), Ok(42));
}

#[test]
fn another_thread_stops_a_runtime_that_sleeps() {
    let runtime = Runtime::new();
    let handle = runtime.handle();
    let thread = std::thread::spawn(move || handle.stop());
    runtime.run_forever().expect("it runs");
    thread.join().expect("it does not panic").expect("the runtime exists");
    let handle = runtime.handle();
    drop(runtime);
    assert!(handle.stop().is_err() && handle.call_soon_threadsafe(|| ()).is_err());
}

#[test]
fn calls_of_other_threads_run_on_the_runtime_s_thread_in_their_order() {
    run(async {
        let own = std::thread::current().id();
        let handle = Handle::current();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for number in 0..100 {
                let sender = sender.clone();
                let call = move || {
                    assert_eq!(std::thread::current().id(), own);
                    sender.send(number).expect("it is received");
                };
                handle.call_soon_threadsafe(call).expect("the runtime exists");
            }
        });
        let mut numbers = Vec::new();
        while numbers.len() < 100 {
            ferrio::sleep(Duration::from_millis(1)).await;
            numbers.extend(receiver.try_iter());
        }
        assert!(numbers.is_sorted());
    })
    .expect("it runs");
}
