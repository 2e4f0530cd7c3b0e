//! Runs this program once more: what a child leaves in memory, or never ends, is its own affair.

use std::error::Error;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// What the child printed, or `None` where it did not end within the limit and was killed.
pub fn run_child(
    arguments: &[&str],
    limit: Duration,
) -> Result<Option<Vec<String>>, Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or("the child has no output")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut output = String::new();
        // Nobody listens any more where the limit has passed.
        let _ = sender.send(stdout.read_to_string(&mut output).map(|_| output));
    });
    let Ok(output) = receiver.recv_timeout(limit) else {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    };
    child.wait()?;
    Ok(Some(
        output?.split_whitespace().map(str::to_owned).collect(),
    ))
}

/// A number that a child printed at that place.
pub fn read_number(output: &[String], place: usize) -> Option<f64> {
    output.get(place)?.parse().ok()
}
