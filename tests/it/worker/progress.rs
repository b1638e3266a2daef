//! Progress of long work: on a terminal, and nowhere else.

use std::process::{Command, Output, Stdio};

use holdfast::store::CHECKS;

use super::installation::Installation;

/// Runs a command of the binary on a terminal of its own; what it wrote there comes back as standard output.
fn on_a_terminal(installation: &Installation, arguments: &str) -> Output {
    let plain = installation.command(&[]);
    let environment = plain.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("stty cols 200 rows 50; {} {arguments}", env!("CARGO_BIN_EXE_holdfast")))
        .arg("/dev/null")
        .envs(environment)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("util-linux should be installed")
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_and_replay_show_a_bar_on_a_terminal_only() {
    let installation = Installation::new().await;
    let checked = format!("/{CHECKS}  counters equal the sum");
    for (arguments, shown) in [("verify", checked.as_str()), ("replay --from start --dry-run", "partitions looked at")]
    {
        let there = on_a_terminal(&installation, arguments);
        let text = String::from_utf8_lossy(&there.stdout);
        assert!(there.status.success(), "{text}");
        assert!(text.contains(shown), "{arguments} showed no bar: {text:?}");

        let elsewhere = installation.output(&arguments.split(' ').collect::<Vec<_>>());
        let (text, errors) = (String::from_utf8_lossy(&elsewhere.stdout), String::from_utf8_lossy(&elsewhere.stderr));
        assert!(elsewhere.status.success(), "{errors}");
        assert!(!text.contains(shown) && !errors.contains(shown), "{text}{errors}");
    }
}
