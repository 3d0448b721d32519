//! A wall clock that jumps changes nothing: every wait is measured by the monotonic one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use haul_api::JobState;
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{Daemon, Home, MIB, assert_holds};

/// Adds the seconds in a file to what the wall clock says, and leaves all other clocks alone.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    const char *path = getenv("TEST_CLOCK");
    if (result == 0 && clock == CLOCK_REALTIME && path) {
        long seconds = 0;
        FILE *file = fopen(path, "r");
        if (file) {
            if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
            fclose(file);
        }
        now->tv_sec += seconds;
    }
    return result;
}
"#;

/// Builds the shim with the C compiler that SQLite was built with.
fn shim(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
    std::fs::write(&source, SHIM).expect("a writable directory");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(built.expect("a C compiler").success());
    library
}

const DAY: i64 = 24 * 3600;

#[tokio::test]
async fn f_proc_08_a_clock_that_jumps_changes_nothing() {
    let home = Home::new("");
    let (library, clock) = (shim(home.path()), home.path().join("clock"));
    let set = |seconds: i64| std::fs::write(&clock, seconds.to_string()).expect("a writable directory");
    set(0);
    let environment = [("LD_PRELOAD", library.display().to_string()), ("TEST_CLOCK", clock.display().to_string())];
    let (server, mut daemon) = (Server::start(), Daemon::at_with_environment(home, &environment).await);
    let content = Content::seeded(1, 12 * MIB);
    server.add("/a.bin", File::new(content.clone()).etag("\"v1\"").shared_rate(2_500_000));
    let busy = Server::start();
    busy.add(
        "/b.bin",
        File::new(Content::seeded(2, 1000)).fault(When::First(1), Do::status_with(503, "Retry-After", "3")),
    );
    let begun = Instant::now();
    let (flowing, waiting) = (daemon.submit(&server.url("/a.bin")).await, daemon.submit(&busy.url("/b.bin")).await);
    daemon.until(waiting, "it waits", |job| job.state == JobState::Waiting).await;
    for (mib, jump) in [(1, DAY), (2, -2 * DAY), (3, 3650 * DAY), (4, -3650 * DAY), (5, 1)] {
        daemon.until(flowing, "it gets on", |job| job.done_bytes > mib * MIB).await;
        set(jump);
        // Something that looks at the clock.
        daemon.client().resume(flowing).await.expect("a running job may be resumed");
    }
    daemon.completed(waiting).await;
    let log = busy.log();
    let pause = log[1].at - log[0].at;
    assert!(pause >= Duration::from_millis(2900) && pause < Duration::from_secs(6), "it came back after {pause:?}");

    // And over the end of the process, with the clock a month behind.
    daemon.kill();
    set(-30 * DAY);
    daemon.restart().await;
    daemon.completed(flowing).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    for word in ["stall", "no answer", "speed floor"] {
        assert!(!daemon.whole_log().contains(word), "nobody is blamed for it: {word}");
    }
    assert!(server.bytes_sent_again("/a.bin") < 3 * MIB);
}
