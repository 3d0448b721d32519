//! What must not be linked: whatever would change bytes, or put several transfers on one connection.

/// The names that a package of the lock file depends on.
fn dependencies(package: &str) -> Vec<String> {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).expect("a lock file");
    let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("\nname = \"{package}\"\n")));
    let entry = entry.unwrap_or_else(|| panic!("{package} is in the lock file"));
    let names = entry.split_once("dependencies = [").map_or("", |(_, names)| names);
    names.lines().map(|line| line.trim().trim_matches(['"', ',']).to_owned()).collect()
}

#[test]
fn f_enc_02_f_http_16_the_http_library_has_no_decoder_and_no_second_protocol() {
    let linked = dependencies("reqwest");
    assert!(linked.iter().any(|name| name.starts_with("hyper")), "{linked:?}");
    for unwanted in ["async-compression", "flate2", "brotli", "zstd", "h2", "h3", "quinn", "cookie_store"] {
        assert!(!linked.iter().any(|name| name.starts_with(unwanted)), "reqwest uses {unwanted}: {linked:?}");
    }
    let linked = dependencies("hyper");
    assert!(!linked.iter().any(|name| name == "h2"), "hyper speaks HTTP/2: {linked:?}");
}
