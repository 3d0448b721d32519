//! `docs/SECURITY.md` lists attacks with the tests that make them. Each of these tests is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Attacks in the list: none gets lost in an edit.
const ATTACKS: usize = 49;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// The names of all functions that an attribute makes a test.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![root().join("crates")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let mut is_test = false;
                for line in text.lines().map(str::trim) {
                    if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                        is_test = true;
                    } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                        found.extend(rest.split('(').next().map(str::to_owned));
                        is_test = false;
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_attack_of_the_list_has_its_test() {
    let document = fs::read_to_string(root().join("docs/SECURITY.md")).expect("the document");
    let (_, table) = document.split_once("## Attacks and their tests").expect("the section");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert_eq!(rows.len(), ATTACKS, "attacks in docs/SECURITY.md");
    let tests = tests();
    for row in rows {
        let names: Vec<_> = row.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        assert!(!names.is_empty(), "an attack without a test: {row}");
        for name in names {
            assert!(tests.contains(name), "no test is called {name}: {row}");
        }
    }
}
