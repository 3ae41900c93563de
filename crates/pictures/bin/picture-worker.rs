//! The worker process alone: what tests and measurements start. The server starts itself instead.

fn main() -> std::io::Result<()> {
    pictures::worker_main(std::io::stdin().lock(), std::io::stdout().lock())
}
