//! A client that stays: `examples/probe.rs` under another account, told what to do line by line.

use crate::{scene::Scene, tool::p11_kit_client};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// A probe of somebody's. It ends with the test.
pub struct Client {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// One that has nothing open yet, and finds the gate at this socket.
    pub fn at(scene: &Scene, name: &str, socket: &std::path::Path) -> Client {
        let mut command = scene.as_user(name, &scene.path("bin/probe"));
        command.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", socket.display()));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (commands, answers) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Client { process, commands, answers }
    }

    /// One with p11-kit's client loaded, at the first trust group's socket.
    pub fn new(scene: &Scene, name: &str) -> Client {
        let mut client = Client::at(scene, name, &scene.socket());
        client.loads();
        client
    }

    /// Loads p11-kit's client, from nothing.
    #[track_caller]
    pub fn loads(&mut self) {
        let module = p11_kit_client().unwrap();
        self.does(&format!("load {}", module.display()));
    }

    /// What came of a command: `ok …` or `error …`.
    pub fn asked(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().unwrap();
        writeln!(commands, "{command}").expect("a probe that listens");
        commands.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the probe has died of `{command}`");
        answer.trim_end().to_owned()
    }

    /// What it gave; it must succeed.
    #[track_caller]
    pub fn does(&mut self, command: &str) -> String {
        let answer = self.asked(command);
        match answer.strip_prefix("ok") {
            Some(told) => told.trim().to_owned(),
            None => panic!("`{command}`: {answer}"),
        }
    }

    /// It must fail with this word in the answer.
    #[track_caller]
    pub fn fails(&mut self, command: &str, word: &str) {
        let answer = self.asked(command);
        assert!(answer.starts_with("error") && answer.contains(word), "`{command}`: {answer}, not {word}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
