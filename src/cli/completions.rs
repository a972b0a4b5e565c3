//! `mq completions`: the committed completion file of a shell.

use super::Globals;
use super::exit::Exit;
use super::output::Out;
use anyhow::Result;

pub const EXAMPLES: &str = "\
Examples:
  mq completions bash > ~/.local/share/bash-completion/completions/mq
  mq completions zsh  > ~/.zfunc/_mq            with fpath+=~/.zfunc before compinit
  mq completions fish > ~/.config/fish/completions/mq.fish
";

/// The arguments of `mq completions`.
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(_: &Globals, args: &Args) -> Result<Exit> {
    let file = match args.shell {
        Shell::Bash => include_str!("../../completions/mq.bash"),
        Shell::Zsh => include_str!("../../completions/_mq"),
        Shell::Fish => include_str!("../../completions/mq.fish"),
    };
    let mut out = Out::new();
    out.bytes(file.as_bytes())?;
    out.flush()?;
    Ok(Exit::Done)
}
