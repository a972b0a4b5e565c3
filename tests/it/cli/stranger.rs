//! Another user: he may work in a queue that is shared with him, and nothing that he does there leads whoever uses it out of it.
//! A queue that is not shared is closed to him. Only root can become another user; for others these tests say so and pass.

use crate::support::program;
use crate::support::sandbox::{Ran, Sandbox, Told};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const OWNER: u32 = 61_001;
const STRANGER: u32 = 61_002;
/// The group that both are in.
const GROUP: u32 = 61_003;

/// Two users, a root that both may create queues in, and a directory that is the owner's alone.
struct Users {
    sandbox: Sandbox,
    mq: PathBuf,
}

impl Users {
    /// `None` for those who can't become somebody else.
    fn new(test: &str) -> Option<Users> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: {test}: not root");
            return None;
        }
        let sandbox = Sandbox::new();
        // Others may not reach where it was built.
        let mq = sandbox.dir().join("bin/mq");
        fs::create_dir(sandbox.dir().join("bin")).unwrap();
        // By another process, as a script would be written: see `script`.
        assert!(Command::new("cp").arg(program()).arg(&mq).status().unwrap().success());
        let home = sandbox.dir().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("secret"), "secret\n").unwrap();
        for (path, mode) in [(sandbox.dir().join("root"), 0o770), (home.join("secret"), 0o600), (home, 0o700)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(OWNER), Some(GROUP)).unwrap();
        }
        Some(Users { sandbox, mq })
    }

    fn shared(test: &str) -> Option<Users> {
        let users = Users::new(test)?;
        users.owner("create jobs --mode 0770 --max-attempts 50 --backoff 1ms").ok();
        Some(users)
    }

    /// A command as this user, which ends. `mq` is in its PATH.
    #[track_caller]
    fn run(&self, user: u32, program: &Path, args: &[&str]) -> Ran {
        let mut command = self.sandbox.another("timeout");
        command.args(["-s", "KILL", "9"]).arg(program).args(args);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.mq.parent().unwrap().display()));
        let began = Instant::now();
        let ran = Ran::from(command.uid(user).gid(GROUP).output().unwrap());
        assert!(began.elapsed() < Duration::from_secs(9), "{program:?} {args:?} does not end");
        ran
    }

    #[track_caller]
    fn owner(&self, words: &str) -> Ran {
        self.run(OWNER, &self.mq, &words.split(' ').collect::<Vec<_>>())
    }

    #[track_caller]
    fn stranger(&self, words: &str) -> Ran {
        self.run(STRANGER, &self.mq, &words.split(' ').collect::<Vec<_>>())
    }

    /// What the stranger does with the shell, in the queue.
    #[track_caller]
    fn attack(&self, script: &str) {
        let script = format!("set -e; umask 0007; cd root/jobs; secret=../../home/secret; {script}");
        self.run(STRANGER, Path::new("bash"), &["-c", &script]).ok();
    }

    /// The secret's contents, and all that a write or a touch would change of it.
    fn secret(&self) -> (String, i64, i64, u32) {
        let path = self.sandbox.dir().join("home/secret");
        let stat = fs::metadata(&path).unwrap();
        (fs::read_to_string(path).unwrap(), stat.mtime(), stat.mtime_nsec(), stat.mode())
    }

    /// The owner goes on working, and is led nowhere.
    #[track_caller]
    fn owner_works_on(&self, what: &str) {
        let before = self.secret();
        for words in [
            "claim jobs",
            "ls jobs --full --json --state ready,delayed,claimed,dead,done,damaged",
            "show jobs",
            "stats jobs",
            "send jobs later",
            "work jobs -q --drain -- cat",
            "fsck jobs --repair",
            "pop jobs",
            "rm jobs --all",
        ] {
            let Ran(Told { code, stdout, stderr }) = self.owner(words);
            let told = String::from_utf8_lossy(&stdout);
            let documented = code.is_some_and(|code| [0, 1, 3, 6, 10, 65, 74, 75].contains(&code));
            assert!(documented, "{what}: mq {words}: {code:?}: {stderr}");
            let quiet = |text: &str| !text.replace("home/secret", "").contains("secret");
            assert!(quiet(&told) && quiet(&stderr), "{what}: mq {words}: {told}{stderr}");
        }
        assert_eq!(self.secret(), before, "{what}");
    }
}

#[test]
fn a_shared_queue_works_both_ways() {
    let Some(users) = Users::shared("a_shared_queue_works_both_ways") else { return };
    type Run = fn(&Users, &str) -> Ran;
    let (owner, stranger): (Run, Run) = (Users::owner, Users::stranger);
    for (one, other) in [(owner, stranger), (stranger, owner)] {
        let line = |ran: Ran| ran.ok().trim_end().to_string();
        one(&users, "send jobs sent").ok();
        let receipt = line(other(&users, "claim jobs"));
        one(&users, &format!("cat {receipt}")).code(0).prints("sent\n");
        one(&users, &format!("extend {receipt}")).ok();
        other(&users, &format!("nack {receipt}")).ok();
        one(&users, "work jobs -q --drain -- cat").code(0).prints("sent\n");

        // Taken back from a worker that was killed, and from a lease that has run out.
        one(&users, "send jobs again").ok();
        let Ran(killed) = one(&users, "work jobs -q -- sh -c kill${IFS}-9${IFS}$PPID");
        assert!(killed.code.is_none_or(|code| code != 0), "{killed:?}");
        let receipt = line(other(&users, "claim jobs --lease 1ms"));
        let taken = line(one(&users, "claim jobs --wait 5s"));
        other(&users, &format!("ack {receipt}")).code(6);
        other(&users, &format!("ack {taken}")).ok();

        one(&users, "send jobs dead").ok();
        let receipt = line(other(&users, "claim jobs"));
        other(&users, &format!("dead {receipt} --reason why")).ok();
        one(&users, "dlq redrive jobs --all").ok();
        other(&users, "pop jobs").code(0).prints("dead\n");

        one(&users, "send jobs --group g first second").ok();
        one(&users, "send jobs --unique k third").ok();
        one(&users, "send jobs --delay 1ms fourth").ok();
        let Ran(told) = other(&users, "work jobs -q --drain -- cat");
        let mut lines = told.lines();
        lines.sort();
        assert_eq!(lines, ["first", "fourth", "second", "third"], "{}", told.stderr);
        let many = "seq 1500 | mq send jobs --lines";
        let user = if one as usize == owner as usize { OWNER } else { STRANGER };
        users.run(user, Path::new("bash"), &["-c", many]).ok();
        assert_eq!(other(&users, "pop jobs -n 2").ok(), "1\n2\n");
        other(&users, "rm jobs --all").ok();
        other(&users, "config jobs lease 5m").ok();
        one(&users, "config jobs lease 6m").ok();
        other(&users, "pause jobs").ok();
        one(&users, "resume jobs").ok();
        other(&users, "fsck jobs --repair").code(0).prints("");
    }
}

#[test]
fn a_private_queue_is_closed_to_others() {
    let Some(users) = Users::new("a_private_queue_is_closed_to_others") else { return };
    users.owner("create jobs").ok();
    users.owner("send jobs secret").ok();
    let receipt = users.owner("claim jobs").ok();
    users.owner("send jobs secret").ok();
    let tree = users.sandbox.tree("jobs");
    let receipt = receipt.trim_end();
    for words in [
        "send jobs x",
        "claim jobs",
        "pop jobs",
        "work jobs --drain -- cat",
        "ls jobs",
        "show jobs",
        "stats jobs",
        "config jobs lease 5m",
        "pause jobs",
        "rm jobs --all",
        "fsck jobs --repair",
        "create jobs",
        &format!("cat {receipt}"),
        &format!("ack {receipt}"),
        &format!("nack {receipt}"),
    ] {
        let told = users.stranger(words).code(74).says("Permission denied").says("root/jobs");
        assert_eq!(told.text(), "", "mq {words}");
    }
    assert_eq!(users.sandbox.tree("jobs"), tree);
    users.owner(&format!("ack {receipt}")).ok();
}

#[test]
fn what_another_user_plants_in_a_shared_queue_leads_nowhere() {
    let Some(users) = Users::shared("what_another_user_plants_in_a_shared_queue_leads_nowhere") else { return };
    let name = "1000000000000000-1000000000000000-4-00000";
    let token = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let places = [
        format!("tmp/{token}"),
        format!("ready/4/1000000000000000/{name}"),
        format!("claimed/{name}-l000000000000-{token}"),
        format!("claimed/{name}-t000000000001-{token}"),
    ];
    let plants = ["ln -s $PWD/$secret", "ln -s $PWD/../../home", "mkfifo", "mkdir", "ln -s nowhere"];
    for place in &places {
        for plant in plants {
            users.attack(&format!("mkdir -p ready/4/1000000000000000; {plant} {place}"));
            users.owner("send jobs good").ok();
            users.owner_works_on(&format!("{plant} {place}"));
            users.attack(&format!("rm -rf {place}"));
        }
        // The kernel keeps him from linking to what is not his, mostly: as if it did not.
        let path = users.sandbox.queue("jobs").join(place);
        users.attack("mkdir -p ready/4/1000000000000000");
        fs::hard_link(users.sandbox.dir().join("home/secret"), &path).unwrap();
        users.owner_works_on(&format!("hard link {place}"));
        // `mq rm --all` may have removed this name of it.
        let _ = fs::remove_file(&path);
    }
}

#[test]
fn what_another_user_puts_in_the_place_of_a_message_leads_nowhere() {
    let Some(users) = Users::shared("what_another_user_puts_in_the_place_of_a_message_leads_nowhere") else { return };
    let swaps = ["ln -s $PWD/$secret", "mkfifo", "mkdir", "cp /dev/null"];
    for swap in swaps {
        // In ready/, and then in claimed/, in the hands of one who has its receipt.
        users.owner("send jobs good").ok();
        users.attack(&format!("f=$(find ready -type f | head -1); rm $f; {swap} $f"));
        users.owner_works_on(&format!("{swap} in ready"));
        users.attack("rm -rf ready/* damaged/*");

        users.owner("send jobs good").ok();
        let receipt = users.owner("claim jobs").ok();
        users.attack(&format!("f=$(find claimed -type f); rm $f; {swap} $f"));
        let before = users.secret();
        for verb in ["cat", "extend", "nack --reason x", "dead --reason x"] {
            let Ran(told) = users.owner(&format!("{verb} {}", receipt.trim_end()));
            let refused = told.code.is_some_and(|code| [6, 65, 74].contains(&code));
            assert!(refused && told.stdout.is_empty(), "{swap}: mq {verb}: {told:?}");
        }
        assert_eq!(users.secret(), before, "{swap}");
        users.owner_works_on(&format!("{swap} in claimed"));
        users.attack("rm -rf claimed/* damaged/* ready/*");
    }
    // A directory of the queue that is a link to one that is the owner's alone.
    for dir in ["tmp", "ready", "claimed", "dead", "delayed"] {
        users.owner("send jobs good").ok();
        let home = users.sandbox.dir().join("home");
        let list = || fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let before = list();
        users.attack(&format!("mv {dir} was; ln -s $PWD/../../home {dir}"));
        users.owner_works_on(&format!("{dir} is a link"));
        assert_eq!(list(), before, "{dir}");
        users.attack(&format!("rm {dir}; mv was {dir}"));
    }
    users.owner("send jobs good").ok();
    users.owner("work jobs -q -n 1 -- cat").code(0).prints("good\n");
}

#[test]
fn a_header_reaches_no_variable_but_its_own() {
    let sandbox = Sandbox::new();
    for name in ["=", "A B", "BASH_FUNC_x%%", "A\nLD_PRELOAD", "", "1A"] {
        sandbox.mq(["send", "jobs", "-H", &format!("{name}=evil"), "x"]).code(2);
    }
    let names = ["PATH", "LD_PRELOAD", "Proxy", "MQ_ID", "IFS", "ENV"];
    let mut args = vec!["send".to_string(), "jobs".into()];
    args.extend(names.iter().flat_map(|name| ["-H".to_string(), format!("{name}=evil")]));
    sandbox.mq(args.into_iter().chain(["x".into()])).ok();
    let evil = |told: String| -> Vec<String> {
        let mut names: Vec<String> =
            told.split('\0').filter_map(|entry| entry.strip_suffix("=evil")).map(str::to_string).collect();
        names.sort();
        names
    };
    let seen = evil(sandbox.mq(["work", "jobs", "-q", "--drain", "--", "env", "-0"]).ok());
    assert_eq!(seen, ["MQ_H_ENV", "MQ_H_IFS", "MQ_H_LD_PRELOAD", "MQ_H_MQ_ID", "MQ_H_PATH", "MQ_H_PROXY"]);

    // Whoever may write to the queue's files needs no `mq send`, and a checksum is no signature.
    for forged in ["A=B", "A%%", "é1", "A\\n", "A\\u0000B"] {
        let name = "N".repeat(forged.len());
        let id = sandbox.mq(["send", "jobs", "-H", &format!("{name}=evil"), "x"]).ok();
        let path = sandbox.file_of("jobs", id.trim_end());
        let text = fs::read_to_string(&path).unwrap().replace(&name, forged);
        fs::write(&path, sealed(&text)).unwrap();
        let seen = evil(sandbox.mq(["work", "jobs", "-q", "--drain", "--", "env", "-0"]).ok());
        assert_eq!(seen, [""; 0], "{forged}");
        // The same with a name that may be: so it is the name that is refused.
        fs::write(&path, sealed(&text.replace(forged, &name))).unwrap();
        let seen = evil(sandbox.mq(["work", "jobs", "-q", "--drain", "--", "env", "-0"]).ok());
        assert_eq!(seen, [format!("MQ_H_{name}")]);
    }
}

/// With the checksum that goes with it, as anybody can write it.
fn sealed(text: &str) -> String {
    let at = text.find("\"crc32\":\"").expect("a checksum") + 9;
    let blank = format!("{}00000000{}", &text[..at], &text[at + 8..]);
    format!("{}{:08x}{}", &text[..at], crc32fast::hash(blank.as_bytes()), &text[at + 8..])
}
