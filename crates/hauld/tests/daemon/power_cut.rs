//! A real file system that loses its power: ext4 on a loop device, shut down without its journal being written. What was
//! not synced is gone then, as after a power cut.
//!
//! A few cuts here; `TEST_CUTS=40` makes it long, `TEST_SEED` replays a run, as far as the machine permits.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haul_core::{JobId, Phase};
use haul_store::Store;
use haul_testkit::{Content, File, Line, Server};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Daemon, Home, MIB, assert_holds, run, say, seed, wait_until};

/// The rate of all downloads together: the moments of a run span some checkpoints.
const RATE: u64 = 12_000_000;

/// The big one is under way the whole time, the small ones come and end.
const BIG: u64 = 24 * MIB;
const SMALL: usize = 12;

/// Shuts the file system of a directory down; 2 means without writing its journal (`EXT4_GOING_FLAGS_NOLOGFLUSH`).
const CUT: &str =
    r#"open(my $dir, "<", $ARGV[0]) or die $!; my $how = pack("I", 2); ioctl($dir, 0x8004587D, $how) or die $!"#;

/// An ext4 file system in a file, mounted until it is dropped.
struct Ext4 {
    image: PathBuf,
    point: PathBuf,
}

impl Ext4 {
    /// `None` where this process may not mount anything.
    fn new(home: &Home) -> Option<Self> {
        let ext4 = Self { image: home.path().join("image"), point: home.path().join("disk") };
        fs::create_dir(&ext4.point).expect("a new directory");
        fs::File::create(&ext4.image).and_then(|image| image.set_len(200 * MIB)).expect("space");
        let made = run("mkfs.ext4", &["-q", "-F", text(&ext4.image)]).and_then(|()| ext4.mount(&ext4.image));
        if let Err(why) = made {
            let may_mount = rustix::process::geteuid().is_root() && std::env::var_os("CI").is_some();
            assert!(!may_mount, "no ext4 can be mounted: {why}");
            say(&format!("nothing was tested: no ext4 can be mounted here: {why}"));
            return None;
        }
        Some(ext4)
    }

    fn mount(&self, image: &Path) -> Result<(), String> {
        run("mount", &["-o", "loop", text(image), text(&self.point)])
    }

    fn cut(&self) {
        run("perl", &["-e", CUT, text(&self.point)]).expect("ext4 can be shut down by root");
    }

    /// What is there when the power is back.
    ///
    /// A copy of the image: another test may have made itself a view of the file system meanwhile, which holds the old mount
    /// and its image until that test ends.
    fn mount_again(&self) {
        run("umount", &[text(&self.point)]).expect("nobody uses it any more");
        let copy = self.image.with_extension("again");
        run("cp", &["--sparse=always", text(&self.image), text(&copy)]).expect("space");
        self.mount(&copy).expect("its journal can be replayed");
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.point)]).ok();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn f_db_02_inv_3_a_file_system_that_loses_its_power_holds_what_rows_claim() {
    let given = std::env::var("TEST_CUTS").ok().and_then(|text| text.parse().ok());
    let mut random = StdRng::seed_from_u64(seed());
    for cut in 0..given.unwrap_or(3) {
        let Some(told) = one_cut(&mut random).await else { return };
        say(&format!("cut {cut}: {told}"));
    }
}

async fn one_cut(random: &mut StdRng) -> Option<String> {
    let home = Home::new("");
    let disk = Ext4::new(&home)?;
    let (data, downloads) = (disk.point.join("data"), disk.point.join("downloads"));
    home.configure(&format!("data_dir = {data:?}\ndownload_dir = {downloads:?}\nconnections_per_job = 6"));
    let (server, line) = (Server::start(), Line::new(RATE));
    let mut daemon = Daemon::at(home).await;
    // When the disk is gone nearly everything is an error.
    daemon.tolerate("");
    let mut jobs = Vec::new();
    let add = |path: &str, content: &Content| {
        server.add(path, File::new(content.clone()).etag("\"v1\"").line(&line));
        server.url(path)
    };
    let sent = || server.log().iter().map(|request| request.sent).sum::<u64>();
    let moment = random.random_range(0..2 * RATE);
    let big = Content::seeded(random.random(), BIG);
    jobs.push((daemon.submit(&add("/big", &big)).await, big));
    for n in 0..SMALL {
        let content = Content::seeded(random.random(), random.random_range(1..600_000));
        let url = add(&format!("/{n}"), &content);
        let due = moment * n as u64 / SMALL as u64;
        wait_until("its time has come", async || (sent() >= due).then_some(())).await;
        jobs.push((daemon.submit(&url).await, content));
    }
    wait_until("the moment has come", async || (sent() >= moment).then_some(())).await;
    disk.cut();
    tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
    daemon.kill();
    disk.mount_again();

    let database = data.join("haul.db");
    let (store, opened) = Store::open(&database, "another boot").expect("it is sound");
    assert!(!opened.same_boot && !opened.was_closed);
    let mut claimed = 0;
    for (id, content) in &jobs {
        let row = store.job(JobId(*id)).await.expect("readable").expect("an accepted job is there");
        let chunks = store.chunks(JobId(*id)).await.expect("readable");
        let claims: u64 = chunks.iter().map(|chunk| chunk.durable).sum();
        claimed += claims;
        if claims == 0 {
            continue;
        }
        let inode = row.part.as_ref().expect("bytes lie in a file").ino;
        let file = fs::File::open(file_with(&downloads, inode).expect("the file has a name")).expect("readable");
        for chunk in chunks {
            let len = usize::try_from(chunk.durable).expect("small");
            let (mut there, mut right) = (vec![0; len], vec![0; len]);
            file.read_exact_at(&mut there, chunk.range.start).expect("as long as its rows say");
            content.read(chunk.range.start, &mut right);
            assert!(there == right, "the row of {:?} of job {id} claims bytes that are not there", chunk.range);
        }
        if row.lifecycle.phase == Phase::Completed {
            assert_holds(row.path.as_deref().expect("it has a path").as_ref(), content);
        }
    }
    store.close().await.expect("nobody else uses it");
    daemon.restart().await;
    for (id, content) in &jobs {
        let job = daemon.completed(*id).await;
        assert_holds(job.path.expect("it has a path").as_ref(), content);
    }
    daemon.terminate();
    Some(format!("after {moment} bytes, {} jobs, {claimed} bytes of which were claimed", jobs.len()))
}

/// The file with this inode.
fn file_with(dir: &Path, inode: u64) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.path()).find(|path| fs::metadata(path).is_ok_and(|it| it.ino() == inode))
}
