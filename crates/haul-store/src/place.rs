//! Where the database is: whether its file is still the one that was opened, and on what kind of file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstatfs;

/// The file that was opened, by what tells it from any other.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    /// Whether that file still stands there. Where this cannot be found out, nothing is known against it.
    pub(crate) fn is_kept(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(metadata) => (metadata.dev(), metadata.ino()) == (self.device, self.inode),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

/// The name of the network file system that holds a directory, if one does.
pub(crate) fn network_file_system(dir: &Path) -> io::Result<Option<&'static str>> {
    // The type of the field differs between architectures; the numbers have 32 bits.
    Ok(network_name(fstatfs(File::open(dir)?)?.f_type.cast_unsigned() & 0xFFFF_FFFF))
}

/// Specified: `linux/magic.h` and the file systems' own sources.
fn network_name(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "nfs",
        0x517B => "smb",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb2",
        0x5346_414F | 0x6B41_4653 => "afs",
        0x7375_7245 => "coda",
        0x00C3_6400 => "ceph",
        0x0102_1997 => "9p",
        0x0BD0_0BD0 => "lustre",
        0x0116_1970 => "gfs2",
        0x7461_636F => "ocfs2",
        0x564C => "ncp",
        // Local ones are among them, too; for these it costs some speed and nothing else.
        0x6573_5546 => "fuse",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_db_11_network_file_systems_are_told_from_local_ones() {
        for (magic, name) in [
            (0x6969, Some("nfs")),
            (0xFF53_4D42, Some("cifs")),
            (0x6573_5546, Some("fuse")),
            // ext4, xfs, btrfs, tmpfs, zfs
            (0xEF53, None),
            (0x5846_5342, None),
            (0x9123_683E, None),
            (0x0102_1994, None),
            (0x2FC1_2FC1, None),
        ] {
            assert_eq!(network_name(magic), name, "{magic:#x}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(network_file_system(dir.path()).unwrap(), None, "tests run on a local disk");
    }
}
