//! The command, looked up before anything is claimed: a name that is nowhere must not cost a message an attempt.

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A command that was there and executable when it was looked up.
#[derive(Clone, Debug)]
pub struct Command {
    /// What is executed.
    pub(super) path: CString,
    /// The words as they were typed, the name first.
    pub(super) words: Vec<CString>,
}

/// Why a command can't be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    NotFound { name: String },
    NotExecutable { name: String, why: String },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::NotFound { name } => write!(f, "{name}: command not found"),
            Unusable::NotExecutable { name, why } => write!(f, "{name}: cannot be executed: {why}"),
        }
    }
}

impl std::error::Error for Unusable {}

/// Where execvp(3) looks when there is no `PATH` (confstr(3), `_CS_PATH`).
const NO_PATH: &str = "/bin:/usr/bin";

impl Command {
    /// Finds the first word as execvp(3) would: by its path if it has a slash, else in the directories of `search`.
    ///
    /// # Errors
    /// Found nowhere, or found and not executable.
    pub fn find(words: &[OsString], search: Option<&OsStr>) -> Result<Command, Unusable> {
        let name = words.first().map_or_else(OsString::new, Clone::clone);
        let shown = name.to_string_lossy().into_owned();
        let not_found = || Unusable::NotFound { name: shown.clone() };
        let candidates: Vec<PathBuf> = if name.is_empty() {
            Vec::new()
        } else if name.as_bytes().contains(&b'/') {
            vec![PathBuf::from(&name)]
        } else {
            // An empty part means the current directory.
            let here = |dir: PathBuf| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir };
            std::env::split_paths(search.unwrap_or(OsStr::new(NO_PATH))).map(|dir| here(dir).join(&name)).collect()
        };
        let mut refused = None;
        for path in candidates {
            match executable(&path) {
                Ok(()) => {
                    let words = words.iter().map(|word| c_string(word)).collect::<Option<_>>().ok_or_else(not_found)?;
                    return Ok(Command { path: c_string(path.as_os_str()).ok_or_else(not_found)?, words });
                }
                Err(Errno::NOENT | Errno::NOTDIR) => (),
                Err(errno) => {
                    let why = format!("{}: {}", path.display(), reason(errno));
                    refused = refused.or(Some(Unusable::NotExecutable { name: shown.clone(), why }));
                }
            }
        }
        Err(refused.unwrap_or_else(not_found))
    }

    /// What became of it between the look-up and the exec.
    pub(super) fn unusable(&self, errno: Errno) -> Unusable {
        let name = self.path.to_string_lossy().into_owned();
        match errno {
            Errno::NOENT | Errno::NOTDIR => Unusable::NotFound { name },
            errno => Unusable::NotExecutable { name, why: reason(errno) },
        }
    }
}

/// Words for what exec says.
fn reason(errno: Errno) -> String {
    match errno {
        Errno::ACCESS => "permission denied".into(),
        Errno::ISDIR => "is a directory".into(),
        Errno::NOEXEC => "is neither a program nor a script that begins with #!".into(),
        Errno::TOOBIG => "arguments and environment are too large".into(),
        errno => std::io::Error::from(errno).to_string(),
    }
}

fn executable(path: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
        return Err(Errno::ISDIR);
    }
    // By the effective ids, as exec asks; where that is not known, by the real ones.
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::access(path, Access::EXEC_OK),
        told => told,
    }
}

fn c_string(word: &OsStr) -> Option<CString> {
    CString::new(word.to_os_string().into_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str, search: &str) -> Result<Command, Unusable> {
        Command::find(&[name.into(), "x".into()], Some(OsStr::new(search)))
    }

    #[test]
    fn a_name_is_searched_and_a_path_is_not() {
        assert_eq!(find("sh", "/nowhere:/bin").unwrap().path.as_bytes(), b"/bin/sh");
        assert_eq!(find("/bin/sh", "/nowhere").unwrap().words[0].as_bytes(), b"/bin/sh");
        assert_eq!(Command::find(&["sh".into()], None).unwrap().path.as_bytes(), b"/bin/sh");
        for name in ["no-such-command", "", "/no/such/command", "/bin/sh/x"] {
            assert!(matches!(find(name, "/bin"), Err(Unusable::NotFound { .. })), "{name}");
        }
        for name in ["/", "/etc/passwd"] {
            assert!(matches!(find(name, "/bin"), Err(Unusable::NotExecutable { .. })), "{name}");
        }
    }
}
