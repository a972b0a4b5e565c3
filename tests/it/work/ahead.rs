//! What a bulk send has packed is opened before the jobs would wait for it.

use super::{Beside, until, written};
use crate::support::sandbox::Sandbox;
use std::os::unix::fs::MetadataExt;

/// The entries of `ready/4`: buckets and packs, oldest first.
fn entries(sandbox: &Sandbox) -> (Vec<String>, Vec<String>) {
    let Ok(entries) = std::fs::read_dir(sandbox.queue("jobs").join("ready/4")) else { return Default::default() };
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names.into_iter().partition(|name| !name.contains("-n"))
}

#[test]
fn the_next_part_of_a_pack_is_open_before_the_first_is_used_up() {
    let sandbox = Sandbox::new();
    let numbers: Vec<String> = (0..1100).map(|number| number.to_string()).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], numbers.join("\n")).ok();
    // A thousand at once come out of a pack; so that this takes no thousand jobs, the first are removed while it is whole.
    sandbox.mq(["rm", "jobs", "--all", "-n", "900"]).ok();
    assert_eq!((entries(&sandbox).0.len(), entries(&sandbox).1.len()), (0, 1));
    let job = "read -r x; echo $x >>done; [ $x != 960 ] || until [ -e go ]; do sleep 0.01; done";
    let mut worker =
        Beside::start(&sandbox, &["work", "jobs", "--drain", "--prefetch", "never", "--", "sh", "-c", job]);
    until("it comes to the one that waits", || written(&sandbox, "done").ends_with("960\n"));
    until("the next is opened", || entries(&sandbox).0.len() == 2);
    assert_eq!(entries(&sandbox).1, Vec::<String>::new());
    std::fs::write(sandbox.dir().join("go"), "").unwrap();
    assert!(worker.end().success());
    let done: Vec<String> = written(&sandbox, "done").lines().map(str::to_string).collect();
    assert_eq!(done, numbers[900..]);
    sandbox.mq(["fsck", "jobs"]).ok();
}

#[test]
fn what_is_opened_ahead_has_the_mode_of_the_queue_whatever_the_users_mask_is() {
    let sandbox = Sandbox::new();
    sandbox.mq(["create", "jobs", "--mode", "0770"]).ok();
    let lines: String = (0..1000).map(|number| format!("{number}\n")).collect();
    sandbox.mq_stdin(["send", "jobs", "--lines", "-q"], lines).ok();
    // A job gets the user's mask back, which is the whole process's, while another thread makes files.
    sandbox.sh("umask 077; exec mq work jobs -j 2 -n 400 -- sh -c 'umask >>masks'").code(0);
    let ready = sandbox.queue("jobs").join("ready/4");
    let mut files = 0;
    for bucket in entries(&sandbox).0 {
        let bucket = ready.join(bucket);
        assert_eq!(bucket.metadata().unwrap().mode() & 0o7777, 0o770, "{}", bucket.display());
        for file in std::fs::read_dir(bucket).unwrap().flatten() {
            assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o660, "{}", file.path().display());
            files += 1;
        }
    }
    assert!(files > 0, "nothing was opened ahead");
    let masks = written(&sandbox, "masks");
    assert_eq!((masks.lines().count(), masks.lines().all(|mask| mask == "0077")), (400, true));
}
