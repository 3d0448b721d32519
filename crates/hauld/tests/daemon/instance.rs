//! One daemon per database, clear exits, closed files.

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use haul_testkit::{Content, File, Server};

use crate::support::{Daemon, Home, MIB};

/// Starts a daemon that is expected to refuse, and returns its exit code and what it says.
fn refused(home: &Home) -> (Option<i32>, String) {
    let output = home.run_to_end();
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

#[tokio::test]
async fn f_db_10_a_second_daemon_on_the_same_database_refuses_and_leaves_the_first_alone() {
    let daemon = Daemon::start().await;
    let (code, said) = refused(daemon.home());
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("another hauld is running") && said.contains("data_dir"), "{said}");
    assert!(daemon.client().ready().await.expect("the first one still answers on its socket").ready);
}

#[tokio::test]
async fn f_proc_06_a_taken_port_is_a_clear_error_and_never_another_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let home = Home::new(&format!("listen = \"{address}\""));
    let (code, said) = refused(&home);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains(&address.to_string()) && said.contains("listen"), "{said}");
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn f_proc_07_a_mistake_in_the_configuration_is_named_with_its_line() {
    let home = Home::new("max_activ_jobs = 3\n");
    let (code, said) = refused(&home);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("hauld.toml") && said.contains("line 1") && said.contains("max_activ_jobs"), "{said}");
    home.configure("stall_timeout = \"soon\"");
    let (code, said) = refused(&home);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("stall_timeout") && said.contains("line 1"), "{said}");
    home.configure("connections_per_job = 65");
    let (code, said) = refused(&home);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("connections_per_job") && said.contains("64"), "{said}");
    assert!(!home.data().exists(), "nothing is made before the settings are right");
}

#[tokio::test]
async fn f_sec_04_a_token_that_others_can_read_is_refused() {
    let mut daemon = Daemon::start().await;
    let (server, token) = (Server::start(), daemon.home().token());
    server.add("/a.bin", File::new(Content::seeded(1, 10)));
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
    daemon.terminate();
    let path = daemon.home().data().join("token");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
    let (code, said) = refused(daemon.home());
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("chmod 600") && !said.contains(&token), "{said}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    daemon.restart().await;
    assert_eq!(daemon.home().token(), token, "the token stays");
}

#[tokio::test]
async fn f_db_12_f_sec_07_everything_that_is_kept_is_closed_to_others() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    server.add("/a.iso", File::new(Content::seeded(2, 8 * MIB)).shared_rate(1_000_000));
    server.add("/b.bin", File::new(Content::seeded(3, 10)));
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.until(id, "some bytes are written", |job| job.done_bytes > 0).await;
    daemon.completed(daemon.submit(&server.url("/b.bin")).await).await;
    let home = daemon.home();
    assert_eq!(mode(&home.socket()), 0o600, "the socket");
    assert_eq!(mode(&home.data()), 0o700, "the data directory");
    assert_eq!(mode(&home.data().join("token")), 0o600, "the token");
    assert_eq!(mode(&home.part()), 0o600, "F-DISK-20: a part file");
    assert_eq!(mode(&home.downloads().join("b.bin")) & 0o111, 0, "no file can be executed");
    for name in ["haul.db", "haul.db-wal", "haul.db-shm"] {
        assert_eq!(mode(&home.data().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn f_db_08_a_database_of_a_newer_haul_is_refused_and_left_untouched() {
    let mut daemon = Daemon::start().await;
    daemon.terminate();
    let path = daemon.home().database();
    let mut bytes = fs::read(&path).expect("the database");
    // `user_version` in the header of the file.
    bytes[60..64].copy_from_slice(&4711_u32.to_be_bytes());
    fs::write(&path, &bytes).expect("it is ours");
    let before = listing(&daemon.home().data());
    let (code, said) = refused(daemon.home());
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("newer"), "{said}");
    assert_eq!(fs::read(&path).expect("the database"), bytes, "not one byte has changed");
    assert_eq!(listing(&daemon.home().data()), before);
}

fn listing(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().display().to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn f_db_06_a_damaged_database_is_refused_and_kept() {
    let mut daemon = Daemon::start().await;
    daemon.terminate();
    let path = daemon.home().database();
    fs::write(&path, "this is not a database, but it is long enough to be read as one ".repeat(10)).expect("ours");
    let before = fs::read(&path).expect("the file");
    let (code, said) = refused(daemon.home());
    assert_eq!(code, Some(65), "{said}");
    assert_eq!(fs::read(&path).expect("the file"), before, "nothing is renamed or replaced");
}

#[tokio::test]
async fn a_socket_that_a_killed_daemon_has_left_is_no_obstacle_but_a_file_is() {
    let home = Home::new("");
    drop(UnixListener::bind(home.socket()).expect("a new socket"));
    assert!(home.socket().exists());
    let mut daemon = Daemon::at(home).await;
    assert!(daemon.client().ready().await.expect("it answers").ready);
    daemon.terminate();
    fs::write(daemon.home().socket(), "precious").expect("a new file");
    let (code, said) = refused(daemon.home());
    assert_eq!(code, Some(69), "{said}");
    assert_eq!(fs::read_to_string(daemon.home().socket()).expect("it is there"), "precious");
}

#[tokio::test]
async fn f_proc_05_the_api_works_with_64_descriptors() {
    let home = Home::new("connections_per_job = 32\nmax_active_jobs = 8");
    let (server, daemon) = (Server::start(), Daemon::at_with_descriptors(home, 64).await);
    for n in 0..8 {
        server.add(&format!("/{n}.bin"), File::new(Content::seeded(n, 2 * MIB)).shared_rate(4_000_000));
    }
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(daemon.submit(&server.url(&format!("/{n}.bin"))).await);
    }
    for id in ids {
        daemon.completed(id).await;
    }
    // Connections that say nothing take what strangers may have, and no more.
    let idle: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(daemon.tcp()).expect("the kernel takes it")).collect();
    daemon.completed(daemon.submit(&server.url("/1.bin")).await).await;
    assert!(daemon.client().ready().await.expect("an answer on the Unix socket").ready);
    drop(idle);
}
