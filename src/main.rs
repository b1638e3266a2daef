//! The command line's entry: arguments, settings, log lines, runtime, command, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use holdfast::app::Failure;
use holdfast::cli::{Arguments, Ending};
use holdfast::telemetry;

/// How long threads that wait for something outside may hold up the end of the process.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(ending) => ending.exit_code(),
        Err(failure) => {
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stderr(), "holdfast: {failure}");
            failure.exit_code()
        }
    }
}

fn run(arguments: Arguments) -> Result<Ending, Failure> {
    let settings = arguments.settings().load(std::env::vars_os())?;
    telemetry::start(&arguments.log(&settings)).map_err(|error| Failure::Settings(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
    let ending = runtime.block_on(arguments.run(settings));
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    ending
}
