//! `docs/RELIABILITY.md` lists every rule of what must hold when something goes wrong. Each is proved by a test that
//! carries its id in its name, or the list says why not; and no test carries an id that the list does not know.
//!
//! `cargo test -p hauld --test reliability -- --nocapture` prints which tests prove which rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The areas of the rules, as they stand in ids: `F-DISK-03`.
const AREAS: [&str; 14] =
    ["done", "range", "ident", "enc", "http", "net", "retry", "speed", "disk", "name", "db", "proc", "api", "sec"];

/// How many rules there are: none gets lost in an edit. Nine of them are invariants.
const RULES: usize = 180 + 9;

/// What the list says of a rule that no test carries yet, though one could.
const OPEN: &str = "open";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// The rules of the document, and what it says beside each: nothing where tests prove it.
fn rules() -> BTreeMap<String, String> {
    let document = fs::read_to_string(root().join("docs/RELIABILITY.md")).expect("the document");
    let mut rules = BTreeMap::new();
    for line in document.lines().filter(|line| line.starts_with("| F-") || line.starts_with("| INV-")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, severity, rule, instead] = cells.as_slice() else { panic!("not four cells: {line}") };
        assert!(matches!(*severity, "S1" | "S2" | "S3" | "S4"), "{line}");
        assert!(rule.len() > 10, "no rule: {line}");
        assert!(rules.insert((*id).to_owned(), (*instead).to_owned()).is_none(), "{id} stands there twice");
    }
    rules
}

/// The tests that carry ids, by id.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut dirs = vec![root().join("crates")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                for name in test_names(&text) {
                    for id in ids(name) {
                        found.entry(id).or_default().insert(name.to_owned());
                    }
                }
            }
        }
    }
    found
}

/// The names of the functions of a source file that an attribute makes a test.
fn test_names(text: &str) -> Vec<&str> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|(before, _)| matches!(*before, "" | "async ")) {
            if is_test {
                names.extend(rest.split('(').next());
            }
            is_test = false;
        }
    }
    names
}

/// The ids in a test's name: `f_range_03_04_f_done_01_inv_3_some_words`.
fn ids(name: &str) -> Vec<String> {
    let words: Vec<_> = name.split('_').collect();
    let is_number = |word: &&&str, len: usize| word.len() == len && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut ids = Vec::new();
    for at in 0..words.len() {
        let area = words.get(at + 1).copied().unwrap_or_default();
        if words[at] == "f" && AREAS.contains(&area) {
            let numbers = words[at + 2..].iter().take_while(|word| is_number(word, 2));
            ids.extend(numbers.map(|number| format!("F-{}-{number}", area.to_uppercase())));
        } else if words[at] == "inv" && words.get(at + 1).as_ref().is_some_and(|word| is_number(word, 1)) {
            ids.push(format!("INV-{area}"));
        }
    }
    ids
}

#[test]
fn every_rule_is_proved_by_a_test_or_says_why_not() {
    let (rules, tests) = (rules(), tests());
    assert_eq!(rules.len(), RULES, "rules in docs/RELIABILITY.md");
    let unproved: Vec<_> =
        rules.iter().filter(|(id, instead)| instead.is_empty() && !tests.contains_key(*id)).map(|(id, _)| id).collect();
    assert!(unproved.is_empty(), "no test carries these ids, and the list does not say why: {unproved:?}");
    let unknown: Vec<_> = tests.iter().filter(|(id, _)| !rules.contains_key(*id)).collect();
    assert!(unknown.is_empty(), "tests carry ids that are not in the list: {unknown:#?}");
    print(&rules, &tests);
}

#[expect(clippy::print_stdout, reason = "the harness shows it when it is asked to")]
fn print(rules: &BTreeMap<String, String>, tests: &BTreeMap<String, BTreeSet<String>>) {
    for (id, instead) in rules {
        match tests.get(id) {
            Some(_) if instead == OPEN => println!("{id}: proved now; take `{OPEN}` out of the list"),
            Some(names) => println!("{id}: {}", names.iter().cloned().collect::<Vec<_>>().join(", ")),
            None => println!("{id}: - {instead}"),
        }
    }
}

#[test]
fn references_between_rules_lead_somewhere() {
    let rules = rules();
    for (id, instead) in &rules {
        let words = instead.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        for other in words.filter(|word| word.starts_with("F-") || word.starts_with("INV-")) {
            assert!(rules.contains_key(other) && other != id, "{id} names {other}");
        }
    }
}

#[test]
fn ids_are_found_in_names() {
    assert_eq!(ids("f_range_03_04_f_done_01_inv_3_no_2_bytes"), ["F-RANGE-03", "F-RANGE-04", "F-DONE-01", "INV-3"]);
    assert!(ids("a_file_of_64_bytes_f_what_01").is_empty());
    let text = "    #[tokio::test(flavor = \"x\")]\n    async fn f_db_01_a() {\n    #[test]\n fn b() {}\n fn f_db_02_no_test() {}";
    assert_eq!(test_names(text), ["f_db_01_a", "b"]);
}

#[test]
fn f_enc_02_no_decoder_is_linked() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    for decoder in ["async-compression", "compression-codecs", "brotli", "zstd", "libz-sys"] {
        assert!(!lock.contains(&format!("name = \"{decoder}\"")), "{decoder} could decode what must stay as it is");
    }
    // The daemon itself packs the files of its web page; no library that makes requests has it.
    let users = lock.split("[[package]]").filter(|package| package.contains("\n \"flate2\",\n"));
    let names: Vec<_> = users.filter_map(|package| package.lines().find(|line| line.starts_with("name = "))).collect();
    assert_eq!(names, ["name = \"hauld\""], "flate2 could decode what must stay as it is");
}
