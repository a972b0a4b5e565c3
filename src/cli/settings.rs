//! The settings of a queue as flags: one for each key of `queue.json`, by the same name.

use super::failure::Failure;
use crate::queue::{KEYS, Settings};
use clap::{Arg, ArgMatches, Command};

/// The settings that were said.
#[derive(Debug, Default)]
pub struct SettingFlags(Vec<(&'static str, String)>);

impl SettingFlags {
    pub fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        for (name, value) in &self.0 {
            settings.set(name, value).map_err(Failure::usage)?;
        }
        Ok(settings)
    }
}

impl clap::Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| {
            let help = format!("{} [default: {}]", key.help, key.builtin);
            let more = format!("{}\n\n{} [default: {}]", key.help, key.more, key.builtin);
            let arg = Arg::new(key.name).long(key.flag).value_name(key.value_name).help_heading("Settings");
            let mut arg = arg.help(help).long_help(more).hide_short_help(!key.common);
            if key.name != key.flag {
                arg = arg.alias(key.name);
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        SettingFlags::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<SettingFlags, clap::Error> {
        let said = |name| matches.get_one::<String>(name).cloned();
        Ok(SettingFlags(KEYS.iter().filter_map(|key| Some((key.name, said(key.name)?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = SettingFlags::from_arg_matches(matches)?;
        Ok(())
    }
}
