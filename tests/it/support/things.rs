//! What a stranger may leave in a directory, and what he would have had mq do.
#![allow(clippy::disallowed_methods)] // a test makes its mess from outside

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// What a terminal does not show but does, or by which it shows something else.
pub fn obeyed(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
}

/// What is there: of each file its contents and all of its inode that anybody could have changed.
pub fn seen(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![top.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let it = fs::symlink_metadata(&path).unwrap();
            let contents = if it.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let modified = it.modified().unwrap();
            found.insert(path.clone(), format!("{:o} {} {} {modified:?} {contents:?}", it.mode(), it.uid(), it.gid()));
            if it.is_dir() {
                dirs.push(path);
            }
        }
    }
    found
}

/// The kind that is another name of `outside/secret`.
pub const HARD_LINK: usize = 9;
/// How many kinds of things there are.
pub const KINDS: usize = 12;
/// One of the [`KINDS`] of things, under this path. Links lead to `outside`, which has a `secret` and a `dir`.
pub fn plant(kind: usize, path: &Path, outside: &Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let root = rustix::process::geteuid().is_root();
    match kind {
        0 => symlink(outside.join("secret"), path).unwrap(),
        1 => symlink(outside.join("dir"), path).unwrap(),
        2 => symlink("nowhere", path).unwrap(),
        3 => symlink(path, path).unwrap(),
        4 => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        // A path that is too long for a socket makes none; the other kinds are there all the same.
        5 => drop(std::os::unix::net::UnixListener::bind(path)),
        6 if root => {
            // The zero device: whoever reads it to its end reads for ever. Containers may forbid it.
            let _ = mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 5));
        }
        7 => {
            fs::create_dir(path).unwrap();
            symlink(outside.join("secret"), path.join("1000000000000000-1000000000000000-4-00000")).unwrap();
        }
        8 => {
            fs::write(path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o4755)).unwrap();
        }
        9 => fs::hard_link(outside.join("secret"), path).unwrap(),
        10 if root => {
            fs::write(path, "x").unwrap();
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        _ => {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }
    }
}

/// Names of nothing, and names that some would obey.
pub fn odd_names() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        "-rf",
        "--help",
        "...",
        "a\nb",
        "\u{1b}]0;owned\u{7}",
        "\u{202e}gpj.exe",
        "; rm -rf x",
        "$(touch x)",
        "*",
        " ",
    ]
    .map(OsString::from)
    .into();
    names.push(OsStr::from_bytes(b"\xff\xfe").to_os_string());
    names.push(OsString::from_vec(vec![b'1'; 255]));
    names.push(OsString::from("1000000000000000-1000000000000000-4-0000\u{0661}"));
    names
}
