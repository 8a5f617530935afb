//! A checkout as a source: pulled before, and new requests committed and pushed after, with the git command and the
//! account's own git configuration. Never merges, never asks for a password, never outlives the deadline; a push that
//! another machine has forestalled is undone and tried again.

use super::{Deadline, Trouble, exchange::REQUESTS};
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// How often a push is tried when others push at the same time.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);
/// What git says is cut here.
const MOST_WORDS: u64 = 4096;

/// Brings the checkout to what its remote has.
pub fn pull(folder: &Path, deadline: Deadline) -> Result<(), Trouble> {
    git(folder, &["pull", "--quiet", "--ff-only"], deadline).map(drop)
}

/// Commits what is new among the requests, and pushes it.
pub fn publish_requests(folder: &Path, deadline: Deadline) -> Result<(), Trouble> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        if git(folder, &["status", "--porcelain", "--", REQUESTS], deadline)?.is_empty() {
            return Ok(());
        }
        let before = git(folder, &["rev-parse", "HEAD"], deadline)?;
        git(folder, &["add", "--", REQUESTS], deadline)?;
        git(folder, &["commit", "--quiet", "--no-verify", "-m", "Requests for approval", "--", REQUESTS], deadline)?;
        outcome = git(folder, &["push", "--quiet"], deadline).map(drop);
        if outcome.is_ok() {
            return Ok(());
        }
        // Another machine was faster, or the remote is away: the commit is taken back, its files stay for the next try.
        git(folder, &["reset", "--quiet", "--mixed", before.trim()], deadline)?;
        pull(folder, deadline)?;
    }
    outcome
}

/// Runs git in the folder; gives what it prints.
fn git(folder: &Path, arguments: &[&str], deadline: Deadline) -> Result<String, Trouble> {
    deadline.left()?;
    let what = arguments.first().copied().unwrap_or_default();
    let subject = format!("{}: git {what}", folder.display());
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=signgate", "-c", "user.email=signgate@localhost"]);
    command.args(["-c", "commit.gpgSign=false", "-c", "core.quotePath=true"]).args(arguments);
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let missing = |error: std::io::Error| Trouble::new(format!("git does not run: {error}"), "install git");
    let mut child = command.spawn().map_err(missing)?;
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = loop {
        match child.try_wait().map_err(missing)? {
            Some(status) => break status,
            None if deadline.left().is_err() => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(deadline.missed().about(&subject));
            }
            None => thread::sleep(PAUSE),
        }
    };
    if status.success() {
        return Ok(stdout.join().unwrap_or_default());
    }
    let next = format!("run `git -C {} {}` as this account and see", folder.display(), arguments.join(" "));
    Err(Trouble::new(in_short(&stderr.join().unwrap_or_default()), next).about(&subject))
}

/// What git gave as the reason, without its hints, in one line.
fn in_short(words: &str) -> String {
    let reasons =
        words.lines().filter_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")));
    let text = reasons.collect::<Vec<_>>().join("; ");
    let text = if text.is_empty() { "it failed" } else { text.trim_end_matches('.') };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads to the end so that the child never waits, and keeps the beginning.
fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return String::new() };
        let mut kept = Vec::new();
        let _ = pipe.by_ref().take(MOST_WORDS).read_to_end(&mut kept);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told_without_the_advice() {
        let words = "hint: Diverging branches\nhint:\nfatal: Not possible to fast-forward, aborting.\n";
        assert_eq!(in_short(words), "Not possible to fast-forward, aborting");
        assert_eq!(in_short("error: a\x1b[2J\nfatal: b\n"), "a [2J; b");
        assert_eq!(in_short("something\n"), "it failed");
    }
}
