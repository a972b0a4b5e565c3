//! Which file system a queue is on, and what that means for its promises.

use rustix::fs as sys;
use std::fs::File;
use std::io;
use std::path::Path;

/// A file system, as far as mq's promises depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// ext4, xfs, btrfs: fsync(2) of a new file makes its name durable too, as power-cut tests confirm.
    Trusted,
    /// A btrfs of less than 1 GiB: the same. Its data and metadata may be in the same blocks (mkfs.btrfs(8), `--mixed`); when it
    /// is full then, it has room for an unlink, and none for a rename.
    SmallBtrfs,
    /// Anything else: one more flush, of the directory, is made.
    Other,
    /// Nothing survives a power cut.
    Memory,
    /// Locks or flushes may not hold across machines.
    Network,
    /// Layers: flushes reach the upper one, unless it is mounted `volatile`.
    Overlay,
}

impl Store {
    /// Whether fsync(2) of a file makes its name durable too.
    pub fn syncs_names(self) -> bool {
        matches!(self, Store::Trusted | Store::SmallBtrfs)
    }
}

// statfs(2) and linux/magic.h.
#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_wraps)]
pub(super) fn identify(file: &File) -> io::Result<Store> {
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::unnecessary_cast)]
    // f_type's width differs
    let stat = sys::fstatfs(file)?;
    let (magic, size) = (stat.f_type as u32, (stat.f_blocks as u64).saturating_mul(stat.f_bsize as u64));
    Ok(match magic {
        0x9123_683E if size < 1 << 30 => Store::SmallBtrfs,
        0xEF53 | 0x5846_5342 | 0x9123_683E => Store::Trusted,
        0x0102_1994 | 0x8584_58F6 => Store::Memory,
        0x6969 | 0xFF53_4D42 | 0xFE53_4D42 | 0x517B | 0x0102_1997 | 0x00C3_6400 => Store::Network,
        0x794C_7630 => Store::Overlay,
        _ => Store::Other,
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn identify(_: &File) -> io::Result<Store> {
    Ok(Store::Other)
}

/// What a person should know about the file system before trusting it with messages: nothing, or one clause each.
pub fn warnings(store: Store, path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    match store {
        Store::Memory => {
            found.push("is in memory (tmpfs): messages survive kill -9 but not a reboot or a power cut".into())
        }
        Store::Network => found.push("is on a network file system: locks and flushes can't be trusted there".into()),
        Store::Overlay => {
            if mount_options(path).is_some_and(|options| options.split(',').any(|option| option == "volatile")) {
                found.push("is on an overlay mounted volatile: flushes do nothing there".into());
            }
        }
        Store::Trusted => {
            if fast_commit(path) {
                found.push("is on ext4 with fast_commit: a power cut may lose what was flushed last".into());
            }
        }
        Store::SmallBtrfs | Store::Other => (),
    }
    found
}

/// The mount that `path` is on, by its device number, from mountinfo: (super options, source).
fn mount(path: &Path) -> Option<(String, String)> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(path).ok()?.dev();
    let wanted = format!("{}:{}", sys::major(device), sys::minor(device));
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().rev().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut after = right.split(' ').skip(1);
        let source = after.next()?;
        (left.split(' ').nth(2)? == wanted).then(|| (after.next().unwrap_or_default().to_string(), source.to_string()))
    })
}

fn mount_options(path: &Path) -> Option<String> {
    mount(path).map(|(options, _)| options)
}

/// Whether the ext4 superblock has the compatible feature `fast_commit` (0x400 at byte 92 of the superblock, which starts
/// at byte 1024): `Documentation/filesystems/ext4/super.rst`. Only root can look; others are told by nobody.
fn fast_commit(path: &Path) -> bool {
    use std::io::Read;
    let Some((_, source)) = mount(path) else { return false };
    let mut start = [0_u8; 1024 + 128];
    let Ok(mut device) = File::open(source) else { return false };
    if device.read_exact(&mut start).is_err() || start[1024 + 56..1024 + 58] != [0x53, 0xEF] {
        return false;
    }
    let compatible = u32::from_le_bytes([start[1116], start[1117], start[1118], start[1119]]);
    compatible & 0x400 != 0
}
