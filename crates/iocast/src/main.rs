//! iocast: a threat exchange in one binary. Everything is in the library; this is its front door.

fn main() -> std::process::ExitCode {
    iocast::cli::main()
}
