//! Examples, and how each kind of them is tried.

use super::shell::{Place, installed, skipped};

/// One example, and where it stands.
#[derive(Debug)]
pub struct Example {
    /// File and line.
    pub place: String,
    pub section: String,
    pub kind: Kind,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing was said: a format, a tree.
    Unsaid,
    /// Not to be typed: what not to do.
    Shown,
    /// A script: it exits 0.
    Run,
    /// The same, which a reader need not see.
    Setup,
    /// What a person types after `$ `, and what then appears, through a pipe.
    Console,
    /// The same on a terminal of 80 columns.
    Terminal,
    /// A file of this name.
    File(String),
    /// A crontab.
    Crontab,
    /// A systemd unit of this name.
    Unit(String),
}

impl Kind {
    /// Reads the words before an example.
    pub fn parse(said: &str) -> Option<Kind> {
        let (word, name) = said.split_once(' ').unwrap_or((said, ""));
        Some(match (word, name) {
            ("run", "") => Kind::Run,
            ("console", "") => Kind::Console,
            ("terminal", "") => Kind::Terminal,
            ("crontab", "") => Kind::Crontab,
            ("shown", "") => Kind::Shown,
            ("file", name) if !name.is_empty() => Kind::File(name.to_string()),
            ("unit", name) if !name.is_empty() => Kind::Unit(name.to_string()),
            _ => return None,
        })
    }
}

impl Example {
    /// Tries it; the message of a failure says where it stands.
    pub fn try_in(&self, place: &Place) {
        match &self.kind {
            Kind::Unsaid | Kind::Shown => (),
            Kind::Run | Kind::Setup => {
                let output = place.bash(&self.text);
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{}: {}\n{}\n{text}", self.place, output.status, self.text);
            }
            Kind::Console => self.console(place, false),
            Kind::Terminal if !installed("script") => skipped(&self.place, "no script(1) here to make a terminal"),
            Kind::Terminal => self.console(place, true),
            Kind::File(name) => place.write(name, &self.text),
            Kind::Crontab => self.crontab(place),
            Kind::Unit(name) => self.unit(place, name),
        }
    }

    /// Types every command into one shell and compares what appears.
    fn console(&self, place: &Place, on_terminal: bool) {
        const END: &str = "\u{1}end\u{1}";
        let commands = commands(&self.text);
        assert!(!commands.is_empty(), "{}: no command begins with '$ '", self.place);
        let mut script = format!("set +eu\n__end() {{ local code=$?; printf '\\n{END}\\n'; return $code; }}\n");
        for (command, _) in &commands {
            match on_terminal {
                false => script.push_str(&format!("{command}\n__end\n")),
                true => {
                    place.write("typed", &format!("#!/usr/bin/env bash\nstty cols 80 rows 40\n{command}\n"));
                    script.push_str("TERM=xterm NO_COLOR=1 script -qec ./typed /dev/null\n__end\n");
                    assert_eq!(commands.len(), 1, "{}: one command on a terminal", self.place);
                }
            }
        }
        let output = place.bash(&script);
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let home = place.home().display().to_string();
        let mut parts = text.split(END).map(|part| part.trim_matches('\n').replace(&home, "/home/ada"));
        for (command, wanted) in &commands {
            let found = parts.next().unwrap_or_default();
            assert!(
                fits(wanted, &found),
                "{}: $ {command}\n--- the page says\n{wanted}\n--- it prints\n{found}\n---",
                self.place
            );
        }
    }

    /// Every line is a setting, a comment, or five fields and a command; the commands are run as cron would.
    fn crontab(&self, place: &Place) {
        let mut env = Vec::new();
        let mut ran = 0;
        for line in self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<&str> = line.splitn(6, ' ').collect();
            let timed = |field: &str| field.bytes().all(|b| b.is_ascii_digit() || b"*/,-".contains(&b));
            if let ([_, _, _, _, _, command], true) =
                (fields.as_slice(), fields.iter().take(5).all(|field| timed(field)))
            {
                assert!(!command.replace("\\%", "").contains('%'), "{}: cron makes a newline of a bare %", self.place);
                let command = command.trim().replace("\\%", "%");
                let output = place.command("sh").args(["-c", &command]).envs(env.iter().cloned()).output().unwrap();
                assert!(output.status.success(), "{}: {command}: {output:?}", self.place);
                ran += 1;
                continue;
            }
            let (name, value) =
                line.split_once('=').unwrap_or_else(|| panic!("{}: not a crontab line: {line}", self.place));
            // The path is the one of the place; the rest is as cron would set it.
            if name != "PATH" {
                env.push((name.to_string(), value.replace("/home/ada", &place.home().display().to_string())));
            }
        }
        assert!(ran > 0, "{}: no command in the crontab", self.place);
    }

    /// Verified by systemd where it is there; and ExecStart is run, and stopped as systemd would.
    fn unit(&self, place: &Place, name: &str) {
        let mq = crate::support::program();
        let home = place.home().display().to_string();
        let text = self.text.replace("/usr/local/bin/mq", mq).replace("/home/ada", &home).replace("%h", &home);
        place.write(name, &text);
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let good = line.starts_with('[') && line.ends_with(']')
                || line.split_once('=').is_some_and(|(key, _)| !key.contains(' '));
            assert!(good, "{}: not a line of a unit: {line}", self.place);
        }
        if installed("systemd-analyze") {
            let output = place.command("systemd-analyze").args(["verify", &format!("./{name}")]).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            let about_it: Vec<&str> = told.lines().filter(|line| line.contains(name)).collect();
            assert!(about_it.is_empty(), "{}: {told}", self.place);
        } else {
            skipped(&self.place, "no systemd-analyze here to verify the unit");
        }
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a unit starts something");
        let env: String =
            text.lines().filter_map(|line| line.strip_prefix("Environment=")).map(|set| format!("{set} ")).collect();
        let output = place.bash(&format!("timeout --preserve-status -s TERM 1 env {env}{start}"));
        assert!(output.status.success(), "{}: {start}: {output:?}", self.place);
    }
}

/// What is typed, and what is shown below it. `> ` goes on with a command.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), commands.last_mut()) {
            (Some(typed), ..) => commands.push((typed.to_string(), String::new())),
            (None, Some(more), Some((command, shown))) if shown.is_empty() => {
                command.push('\n');
                command.push_str(more);
            }
            (None, _, Some((_, shown))) => {
                shown.push_str(line);
                shown.push('\n');
            }
            _ => (),
        }
    }
    commands.into_iter().map(|(command, shown)| (command, shown.trim_matches('\n').to_string())).collect()
}

/// Whether the output is what the page shows: ids, uids and moments are any, and `...` is anything.
fn fits(wanted: &str, found: &str) -> bool {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), found.lines().collect());
    wanted.len() == found.len()
        && wanted.iter().zip(&found).all(|(wanted, found)| line_fits(&plain(wanted), &plain(found)))
}

/// A line with what differs from run to run made the same.
fn plain(line: &str) -> String {
    // What bash says of a killed command is one word to a person, and more to a script.
    if line.starts_with("bash: line ") && line.contains(" Killed ") {
        return "Killed".to_string();
    }
    let mut plain = String::new();
    let mut word = String::new();
    let end = |word: &mut String, plain: &mut String| {
        let rest = word.split_off(word.trim_end_matches([':', '-']).len());
        let all = |test: fn(&u8) -> bool| word.bytes().all(|b| test(&b));
        match word.len() {
            16 if all(u8::is_ascii_digit) => plain.push_str("ID"),
            26 if all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')) => plain.push_str("UID"),
            10 if word
                .bytes()
                .enumerate()
                .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() }) =>
            {
                plain.push_str("DAY");
            }
            20 if word.ends_with('Z') && word.as_bytes()[10] == b'T' => plain.push_str("MOMENT"),
            8 if word.bytes().enumerate().all(|(at, b)| if at % 3 == 2 { b == b':' } else { b.is_ascii_digit() }) => {
                plain.push_str("CLOCK")
            }
            _ => plain.push_str(word),
        }
        plain.push_str(&rest);
        word.clear();
    };
    for c in line.trim_end().chars() {
        // A colon ends a word unless it stands between digits, as in a time.
        if c.is_ascii_alphanumeric()
            || (matches!(c, ':' | '-') && word.ends_with(|c: char| c.is_ascii_digit()) && word.len() < 20)
        {
            word.push(c);
        } else {
            end(&mut word, &mut plain);
            plain.push(c);
        }
    }
    end(&mut word, &mut plain);
    plain
}

fn line_fits(wanted: &str, found: &str) -> bool {
    let mut parts = wanted.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        let place = if last && part.is_empty() {
            Some(rest.len())
        } else if last {
            rest.rfind(part)
        } else {
            rest.find(part)
        };
        match place {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

/// Tries examples section by section, each in a place of its own; all of them, whatever fails.
pub fn try_all(examples: &[Example]) {
    let mut failed = Vec::new();
    for section in examples.chunk_by(|a, b| a.section == b.section) {
        let place = Place::new();
        for example in section {
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| example.try_in(&place)));
            failed.extend(tried.err().map(|_| example.place.as_str()));
        }
    }
    assert!(failed.is_empty(), "these examples do not work: {failed:?}");
}

#[test]
fn output_fits_what_is_shown() {
    for (wanted, found) in [
        ("1764061200123456", "1795601843681760"),
        ("mq: jobs 1764061200123456 attempt 1/8: exit 1", "mq: jobs 1795601843681760 attempt 1/8: exit 1"),
        ("at 2026-11-25T09:00:00Z", "at 2026-11-26T10:11:12Z"),
        ("10:17:23  x", "11:18:24  x"),
        ("a ... c", "a b b c"),
        ("a...", "a"),
        ("{\"uid\":\"vlqka66mfsh7voip65hc6wqx6u\"}", "{\"uid\":\"bywqedsoexvv3ln4h7zwqjpe4m\"}"),
    ] {
        assert!(fits(wanted, found), "{wanted:?} {found:?}");
    }
    for (wanted, found) in
        [("a", "b"), ("a", ""), ("", "a"), ("a\nb", "a"), ("a...c", "a b"), ("1764061200123456", "17")]
    {
        assert!(!fits(wanted, found), "{wanted:?} {found:?}");
    }
}
