//! Settings: any text of a file, of the environment or of a flag gives settings or an error that names what is wrong.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;

use holdfast::config::{FlagSetting, Settings, Sources};

/// Lines for the environment (`NAME=value`) and flags (`--set key=value`), a NUL, and the text of a file.
pub fn settings(input: &[u8]) -> bool {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (lines, text) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file should be writable");
    file.write_all(text).expect("a temporary file should be writable");
    let mut sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(setting) = line.strip_prefix(b"--set ") {
            sources.flags.extend(FlagSetting::parse(&String::from_utf8_lossy(setting)));
        } else if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            sources.environment.push((text(&line[..equals]), text(&line[equals + 1..])));
        }
    }
    match Settings::load(&sources) {
        Ok(settings) => {
            let shown = settings.to_toml().expect("settings that were taken can be shown");
            assert!(!shown.is_empty());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}
