//! A client of the tests of enforced mode, which Windows does not have. Read next: `probe/unix.rs`.

#[cfg(unix)]
#[path = "probe/unix.rs"]
mod unix;

fn main() {
    #[cfg(unix)]
    unix::run();
}
