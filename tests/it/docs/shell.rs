//! A place in which examples run: an empty home directory with a `bin` on the path, and no other environment.

use crate::support::sandbox::script;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Removed with all that is in it when dropped.
#[derive(Debug)]
pub struct Place {
    home: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("mq-docs-{}-{number}", std::process::id()));
        std::fs::create_dir_all(home.join("bin")).unwrap();
        Place { home: home.canonicalize().unwrap() }
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A file below the home directory; one that begins with `#!` may be executed.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if text.starts_with("#!") {
            script(&path, text);
        } else {
            std::fs::write(&path, text).unwrap();
        }
    }

    /// A command with this place's environment and nothing on stdin.
    pub fn command(&self, program: &str) -> Command {
        let mq = Path::new(crate::support::program()).parent().unwrap();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env(
                "PATH",
                format!("{}/bin:{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.home.display(), mq.display()),
            )
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&self.home)
            .stdin(Stdio::null());
        command
    }

    /// Runs a script as `bash -euo pipefail` would, with stderr where stdout is. It is over after a minute at most.
    pub fn bash(&self, script: &str) -> Output {
        let script = format!("set -euo pipefail\nexec 2>&1\n{script}");
        self.command("timeout").args(["--kill-after=5", "60", "bash", "-c", &script]).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Where a program is, if it is installed.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Says why something was not tested.
pub fn skipped(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}
