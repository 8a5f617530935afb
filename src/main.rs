//! The `signgate` command. Read next: `cli/mod.rs`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
