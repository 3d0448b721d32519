//! The commented configuration file says what is true.

use std::fs;

use hauld::config::{Config, KEYS, Layers};

/// Settings whose default depends on the user and the machine: the file holds an example of each.
const EXAMPLES: [&str; 3] = ["socket", "data_dir", "download_dir"];

/// A line of the file that a user can uncomment.
struct Line<'a> {
    key: &'a str,
    text: &'a str,
    is_example: bool,
}

fn file() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/hauld.toml");
    fs::read_to_string(path).expect("config/hauld.toml is part of the source")
}

/// The lines `# key = value` and `#: key = value`.
fn settings(file: &str) -> Vec<Line<'_>> {
    let line = |line| {
        let (text, is_example) = match str::strip_prefix(line, "#: ") {
            Some(text) => (text, true),
            None => (line.strip_prefix("# ")?, false),
        };
        let key = text.split_once(" = ")?.0;
        let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        is_key.then_some(Line { key, text, is_example })
    };
    file.lines().filter_map(line).collect()
}

/// What hauld makes of a file that holds these lines, and of nothing else.
fn load<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Config {
    let text: Vec<_> = lines.map(|line| line.text).collect();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("hauld.toml");
    fs::write(&path, text.join("\n")).expect("a writable file");
    let layers = Layers { file: Some(path), ..Layers::default() };
    layers.load().expect("the lines are right").config
}

#[test]
fn every_setting_is_documented_exactly_once() {
    let file = file();
    let mut documented: Vec<_> = settings(&file).iter().map(|line| line.key).collect();
    documented.sort_unstable();
    let mut keys = KEYS.to_vec();
    keys.sort_unstable();
    assert_eq!(documented, keys);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let file = file();
    let lines = settings(&file);
    let config = load(lines.iter().filter(|line| !line.is_example));
    assert_eq!(config, Config::defaults().expect("a home directory"));
}

#[test]
fn the_examples_are_settings_that_work() {
    let file = file();
    let lines = settings(&file);
    let examples: Vec<_> = lines.iter().filter(|line| line.is_example).map(|line| line.key).collect();
    assert_eq!(examples, EXAMPLES);
    let config = load(lines.iter());
    let defaults = Config::defaults().expect("a home directory");
    let Config { socket, data_dir, download_dir, .. } = config.clone();
    assert!(socket.is_absolute() && data_dir.is_absolute() && download_dir.is_absolute());
    assert_eq!(config, Config { socket, data_dir, download_dir, ..defaults });
}

#[test]
fn nothing_is_set_unless_a_line_is_uncommented() {
    for line in file().lines() {
        assert!(line.is_empty() || line.starts_with('#'), "{line}");
    }
}
