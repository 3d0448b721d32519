//! A tripwire: what [`Client::new`] says of rustls providers is still true of reqwest.
//!
//! The provider belongs to the process, so this test must stay alone in its file.

use haul_api::{Address, Client};

#[test]
#[should_panic(expected = "No rustls crypto provider is configured")]
fn reqwest_asks_for_a_provider_even_for_a_unix_socket() {
    let client = Client::new(Address::Unix("/run/haul.sock".into()), None);
    drop(client);
}
