//! Running a command with a terminal for its stdin and stdout.
#![allow(clippy::disallowed_methods)] // a terminal is a device, no file of a queue

use super::sandbox::{Ran, Sandbox, Told};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

/// How large the terminal is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// What everybody has.
pub const SMALL: Size = Size { columns: 80, rows: 24 };

impl Sandbox {
    /// What a terminal of this size would be sent, with its line ends as they were written.
    pub fn on_terminal<I: IntoIterator<Item: AsRef<OsStr>>>(&self, size: Size, args: I) -> Ran {
        let (master, slave) = open(size);
        let mut command = self.command(args);
        command.stdin(Stdio::from(slave.try_clone().unwrap())).stdout(Stdio::from(slave)).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        // The command holds our side of the terminal open as long as it lives.
        drop(command);
        let reader = std::thread::spawn(move || {
            let (mut master, mut bytes) = (master, Vec::new());
            let mut buffer = [0; 4096];
            // The end of a terminal is an error (EIO), not an end of file.
            while let Ok(got @ 1..) = master.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..got]);
            }
            bytes
        });
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&reader.join().unwrap()).replace("\r\n", "\n").into_bytes();
        let Ran(told) = Ran::from(output);
        Ran(Told { stdout, ..told })
    }
}

/// Both ends close on exec from the start: another test's child must not keep this terminal open.
fn open(size: Size) -> (File, File) {
    let master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    let mut name = [0; 64];
    // SAFETY: the descriptor is open for both calls, and the name's length goes with it.
    let named = unsafe {
        assert_eq!(libc::unlockpt(master.as_raw_fd()), 0);
        libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len())
    };
    assert_eq!(named, 0);
    let name: Vec<u8> = name.iter().map(|&c| c.cast_unsigned()).take_while(|&c| c != 0).collect();
    let slave = File::options().read(true).write(true).open(OsStr::from_bytes(&name)).unwrap();
    let winsize = rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, winsize).unwrap();
    (master, slave)
}
