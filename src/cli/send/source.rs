//! Where `mq send` reads a body from: a file, or stdin.

use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use anyhow::{Context, Result};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Where one body comes from.
pub(super) struct Source {
    pub path: Option<PathBuf>,
    input: Box<dyn Read>,
    /// Of a regular file.
    pub length: Option<u64>,
}

impl Source {
    pub fn stdin(globals: &Globals) -> Source {
        if io::stdin().is_terminal() {
            globals.talk("reading the body from the terminal: end it with Ctrl-D on a line of its own");
        }
        Source { path: None, input: Box::new(io::stdin().lock()), length: None }
    }

    pub fn file(path: &Path) -> Result<Source> {
        if path.as_os_str() == "-" {
            return Ok(Source { path: None, input: Box::new(io::stdin().lock()), length: None });
        }
        let file = crate::fs::open_input(path).with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = file.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
        if metadata.is_dir() {
            return Err(Failure::new(Exit::Io, format!("cannot read {}: it is a directory", path.display())).into());
        }
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Source { path: Some(path.to_path_buf()), input: Box::new(file), length })
    }

    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.input.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    let what = self.path.as_ref().map_or("stdin".to_string(), |path| path.display().to_string());
                    return Err(anyhow::Error::from(error).context(format!("cannot read {what}: not sent")));
                }
                Ok(got) => return Ok(got),
            }
        }
    }

    /// A file that became shorter while it was read is not what was meant to be sent.
    pub fn whole(&self, read: u64) -> Result<()> {
        match (&self.path, self.length) {
            (Some(path), Some(length)) if read < length => Err(Failure::new(
                Exit::Data,
                format!("{}: had {length} bytes, then {read}: it changed while it was read, not sent", path.display()),
            )
            .into()),
            _ => Ok(()),
        }
    }
}
