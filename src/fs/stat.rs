//! What stat(2) says, as mq reads it; and when a time in it can be told from that of the next change.

use super::{Identity, Kind, Owner, Stat};
use crate::time::Time;
use rustix::fs::{self as sys, FileType};
#[cfg(target_os = "linux")]
use std::time::Duration;

pub(super) fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// See [`super::Steps::settled`].
#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // widths differ by system
pub(super) fn settled(modified: Time) -> bool {
    // What the kernel takes the times of files from: later ones are never before it (current_time() in fs/inode.c).
    let mut clock = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // By the C library, which std asks as well: rustix reads the vDSO by itself, once more, and where valgrind hides that it crashes.
    // SAFETY: the struct outlives the call.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut clock) } == 0;
    told && settled_by(time(clock.tv_sec as i64, clock.tv_nsec as i64), modified)
}

/// Some file systems keep whole seconds, or every second one: ext4 with inodes of 128 bytes, FAT.
#[cfg(target_os = "linux")]
fn settled_by(clock: Time, modified: Time) -> bool {
    match modified.micros() % 1_000_000 {
        0 => clock >= modified.plus(Duration::from_secs(2)),
        _ => clock > modified,
    }
}

#[allow(clippy::cast_sign_loss)] // nothing is from before 1970
fn time(seconds: i64, nanos: i64) -> Time {
    Time::from_micros(seconds.max(0) as u64 * 1_000_000 + nanos.max(0) as u64 / 1_000)
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless, clippy::cast_sign_loss, clippy::useless_conversion)] // widths differ by system
pub(super) fn convert(stat: &sys::Stat) -> Stat {
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        identity: Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
        size: stat.st_size as u64,
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        links: stat.st_nlink as u64,
        mode: stat.st_mode as u32 & 0o7777,
        owner: Owner { user: stat.st_uid, group: stat.st_gid },
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::{Posix, Steps};
    use super::*;

    #[test]
    fn a_time_is_settled_when_the_clock_of_such_times_has_left_it() {
        let at = |micros: u64| Time::from_micros(1_795_600_800_000_000 + micros);
        for (clock, modified, settled) in [
            (250_000, 250_000, false),
            (250_001, 250_000, true),
            // Made ahead of the clock: a finer time was asked for (multigrain timestamps).
            (250_000, 250_003, false),
            // Whole seconds: it may have happened at any moment in them.
            (900_000, 0, false),
            (1_999_999, 0, false),
            (2_000_000, 0, true),
        ] {
            assert_eq!(settled_by(at(clock), at(modified)), settled, "{modified} at {clock}");
        }
    }

    #[test]
    fn after_a_settled_time_each_change_has_another() {
        let path = std::env::temp_dir().join(format!("mq-settled-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let disk = Posix::default();
        let mut unsettled = 0_u32;
        for round in 0..100 {
            let modified = disk.stat_path(&path).unwrap().modified;
            while !disk.settled(modified) {
                unsettled += 1;
                std::thread::yield_now();
            }
            std::fs::create_dir(path.join(round.to_string())).unwrap();
            assert_ne!(disk.stat_path(&path).unwrap().modified, modified);
        }
        std::fs::remove_dir_all(&path).unwrap();
        assert!(unsettled > 0);
    }
}
