//! Child processes.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{self, Command, ExitStatus, Output};
use std::task::{Context, Poll};

use ferrio_sys::child::Watch;

use crate::io::{AsyncFd, byte_stream};
use crate::runtime::current;
use crate::task::spawn;

/// Starts a child process, with pipes where `command` says so: asyncio's `create_subprocess_exec`.
///
/// # Errors
///
/// Fails if the program cannot be started, or the system lacks descriptors.
///
/// # Panics
///
/// Panics if no runtime runs on this thread.
///
/// ```
/// use std::process::{Command, Stdio};
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// ferrio::run(async {
///     let mut command = Command::new("cat");
///     let mut child = ferrio::process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
///     let mut stdin = child.stdin.take().expect("it is a pipe");
///     stdin.write_all(b"hello").await?;
///     drop(stdin);
///     let mut text = String::new();
///     child.stdout.take().expect("it is a pipe").read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     assert!(child.wait().await?.success());
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn start(command: &mut Command) -> io::Result<Child> {
    let _ = current::expect("process::start");
    let mut child = command.spawn()?;
    let stdin = child.stdin.take().map(|pipe| PipeWriter::new(pipe.into())).transpose();
    let stdout = child.stdout.take().map(|pipe| PipeReader::new(pipe.into())).transpose();
    let stderr = child.stderr.take().map(|pipe| PipeReader::new(pipe.into())).transpose();
    // Made before any of the errors returns: dropping it reaps the child.
    let mut child = Child { stdin: None, stdout: None, stderr: None, running: Some(child), status: None };
    child.stdin = stdin?;
    child.stdout = stdout?;
    child.stderr = stderr?;
    Ok(child)
}

/// Runs a program to its end, and returns what it wrote to its pipes: its output, if `command` says nothing else.
///
/// # Errors
///
/// Any error of [`start`] or of reading the pipes.
///
/// # Panics
///
/// Panics if no runtime runs on this thread.
///
/// ```
/// use std::process::Command;
///
/// ferrio::run(async {
///     let output = ferrio::process::output(Command::new("echo").arg("hello")).await?;
///     assert_eq!(output.stdout, b"hello\n");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn output(command: &mut Command) -> io::Result<Output> {
    command.stdout(process::Stdio::piped()).stderr(process::Stdio::piped());
    start(command)?.wait_with_output().await
}

/// A child process.
///
/// Dropping it leaves the child running, and has it reaped when it ends. See [`start`] for an example.
#[derive(Debug)]
pub struct Child {
    /// Writes to its standard input, if that is a pipe.
    pub stdin: Option<PipeWriter>,
    /// Reads its standard output, if that is a pipe.
    pub stdout: Option<PipeReader>,
    /// Reads its standard error, if that is a pipe.
    pub stderr: Option<PipeReader>,
    /// Present until it is reaped.
    running: Option<process::Child>,
    status: Option<ExitStatus>,
}

impl Child {
    /// Waits until it ends. May be called again, and dropped.
    ///
    /// # Errors
    ///
    /// Fails if other code has reaped the child, or the system lacks descriptors.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        // A child that waits for its input would never end.
        drop(self.stdin.take());
        if let Some(running) = &mut self.running {
            let status = reap(running).await?;
            self.running = None;
            self.status = Some(status);
        }
        self.status.ok_or_else(|| io::Error::other("the child is neither running nor reaped"))
    }

    /// Reads both of its pipes to their ends while it waits for the child: asyncio's `communicate`.
    ///
    /// # Errors
    ///
    /// Any error of reading the pipes or of [`Child::wait`].
    ///
    /// ```
    /// use std::process::{Command, Stdio};
    ///
    /// ferrio::run(async {
    ///     let mut command = Command::new("sh");
    ///     command.args(["-c", "echo out; echo err >&2; exit 3"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    ///     let output = ferrio::process::start(&mut command)?.wait_with_output().await?;
    ///     assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    ///     assert_eq!(output.status.code(), Some(3));
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let stdout = self.stdout.take().map(|pipe| spawn(pipe.read_to_end()).cancel_on_drop());
        let stderr = self.stderr.take().map(|pipe| spawn(pipe.read_to_end()).cancel_on_drop());
        let status = self.wait().await?;
        let mut outputs = [Vec::new(), Vec::new()];
        for (output, task) in outputs.iter_mut().zip([stdout, stderr]) {
            if let Some(task) = task {
                *output = task.await.map_err(io::Error::other)??;
            }
        }
        let [stdout, stderr] = outputs;
        Ok(Output { status, stdout, stderr })
    }

    /// Kills it (`SIGKILL`); [`Child::wait`] reaps it then. It is no error if it has ended.
    ///
    /// # Errors
    ///
    /// Fails if it runs as another user.
    ///
    /// ```
    /// use std::process::Command;
    ///
    /// ferrio::run(async {
    ///     let mut child = ferrio::process::start(Command::new("sleep").arg("3600"))?;
    ///     child.kill()?;
    ///     assert!(!child.wait().await?.success());
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&mut self) -> io::Result<()> {
        self.running.as_mut().map_or(Ok(()), process::Child::kill)
    }

    /// Its number, until it is reaped.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(process::Child::id)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // It stays a zombie if no runtime is there, until this process ends.
        let is_reaped = matches!(running.try_wait(), Ok(Some(_)) | Err(_));
        if !is_reaped && current::is_entered() {
            drop(spawn(async move { reap(&mut running).await }));
        }
    }
}

/// Waits until the child has ended, and takes its status.
async fn reap(running: &mut process::Child) -> io::Result<ExitStatus> {
    if let Some(status) = running.try_wait()? {
        return Ok(status);
    }
    let number = i32::try_from(running.id()).map_err(io::Error::other)?;
    let watch = AsyncFd::new(Watch::new(number)?)?;
    let would_block = || io::Error::from(io::ErrorKind::WouldBlock);
    watch.read_with(|_| running.try_wait()?.ok_or_else(would_block)).await
}

/// The reading end of a child's pipe; see [`start`] for an example.
#[derive(Debug)]
pub struct PipeReader {
    fd: AsyncFd<File>,
}

impl PipeReader {
    /// A pipe is a file to the standard library.
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::new(File::from(pipe))? })
    }

    async fn read_to_end(self) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = self.fd.read_with(|mut pipe| io::Read::read(&mut pipe, &mut buffer)).await?;
            if count == 0 {
                return Ok(data);
            }
            data.extend_from_slice(&buffer[..count]);
        }
    }
}

/// The writing end of a child's pipe; see [`start`] for an example. Closing or dropping it closes it, and the reader sees
/// the end.
#[derive(Debug)]
pub struct PipeWriter {
    fd: Closing,
}

/// A pipe's end, until it is closed.
#[derive(Debug)]
struct Closing(RefCell<Option<AsyncFd<File>>>);

impl Closing {
    /// As that of [`AsyncFd`]; a pipe that is closed is a broken one.
    fn poll_write_with<R>(
        &self,
        context: &mut Context<'_>,
        operation: impl FnMut(&File) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        match &*self.0.borrow() {
            Some(fd) => fd.poll_write_with(context, operation),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn close(&self) {
        let fd = self.0.take();
        drop(fd);
    }
}

impl PipeWriter {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: Closing(RefCell::new(Some(AsyncFd::new(File::from(pipe))?))) })
    }
}

byte_stream!(PipeReader, read);
byte_stream!(PipeWriter, write, |fd: &Closing| {
    fd.close();
    Ok(())
});
