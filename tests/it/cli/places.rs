//! File systems that are put together of others: a mount in the middle of a queue, and an overlay.

use crate::support::sandbox::{Ran, Sandbox, explains};
use rustix::io::Errno;
use std::process::Command;

/// A script with mounts of its own, which end with it; `None` where nobody may mount.
fn mounting(name: &str, sandbox: &Sandbox, script: &str) -> Option<Ran> {
    let may = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: {name}: nobody may mount here");
        return None;
    }
    std::fs::write(sandbox.dir().join("script"), script).unwrap();
    Some(sandbox.sh("unshare -m bash script"))
}

#[test]
fn a_mount_in_the_middle_of_a_queue_is_an_error_and_loses_nothing() {
    for dir in ["tmp", "ready", "claimed", "delayed", "dead"] {
        let sandbox = Sandbox::new();
        let script = format!(
            "mq create jobs --max-attempts 2 --backoff 1ms
            mkdir -p outside root/jobs/{dir}
            mount --bind outside root/jobs/{dir} || exit 99
            mq send jobs -q one && echo one >>sent
            seq 70 | mq send jobs --lines && seq 70 >>sent
            if r=$(mq claim jobs --lease 1ms); then
                mq nack $r --delay 1ms || mq dead $r || true
            fi
            timeout -s KILL 9 mq work jobs -q --drain -n 8 -- false; echo $?
            mq dlq redrive jobs --all >/dev/null; echo $?
            umount root/jobs/{dir}
            cp -a outside/. root/jobs/{dir}/"
        );
        let Some(ran) = mounting("a mount in the middle of a queue", &sandbox, &script) else { return };
        let told = ran.code(0);
        let (work, redrive) = told.text().split_once('\n').map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
        assert!(["0", "10", "74"].contains(&work.as_str()), "{dir}: {told:?}");
        assert!(["0\n", "1\n", "74\n"].contains(&redrive.as_str()), "{dir}: {told:?}");
        assert!(explains(&told.stderr, Errno::XDEV), "{dir}: {}", told.stderr);
        assert!(told.stderr.lines().all(|line| line.starts_with("mq: ") || line.starts_with("hint: ")), "{told:?}");
        // All in one place again, there is what was sent, once, and nothing else.
        sandbox.mq(["fsck", "jobs", "--repair"]).code(0);
        sandbox.mq(["dlq", "redrive", "jobs", "--all"]).one_of(&[0, 1]);
        let mut came = sandbox.mq(["work", "jobs", "-q", "--drain", "--", "cat"]).code(0).lines();
        came.sort();
        let sent = std::fs::read_to_string(sandbox.dir().join("sent")).unwrap_or_default();
        let mut sent: Vec<&str> = sent.lines().collect();
        sent.sort();
        assert_eq!(came, sent, "{dir}");
        sandbox.mq(["fsck", "jobs"]).code(0).prints("");
    }
}

#[test]
fn a_queue_on_an_overlay_is_a_queue() {
    let sandbox = Sandbox::new();
    // Three stand in the lower layer, one of them claimed: who opens them to change them gets a copy.
    let script = "
        set -e
        mkdir -p lower up merged
        mq create ./lower/q --retain 1h --backoff 1ms
        for n in 1 2 3; do mq send ./lower/q -q $n; done
        mq claim ./lower/q --lease 1ms >/dev/null
        mount -t tmpfs tmpfs up
        mkdir up/upper up/work
        mount -t overlay overlay -o lowerdir=lower,upperdir=up/upper,workdir=up/work merged
        cd merged
        mq send ./q -q 4
        seq 5 74 | mq send ./q --lines
        mq claim ./q --lease 1ms >/dev/null
        mq work ./q -q -n 3 -- false
        mq work ./q -q -j 2 --drain -- cat | sort -n | uniq -c | wc -l
        mq replay ./q --all >/dev/null
        mq pop ./q -n 100 | wc -l
        mq fsck ./q";
    let Some(ran) = mounting("an overlay", &sandbox, script) else { return };
    ran.code(0).prints("74\n74\n");
}

#[test]
fn a_file_system_that_became_read_only_hides_and_loses_nothing() {
    let sandbox = Sandbox::new();
    let script = "
        mkdir m
        mount -t tmpfs tmpfs m
        mq create ./m/q -q
        seq 5 | mq send ./m/q --lines -q
        receipt=$(mq claim ./m/q)
        mount -o remount,ro m || exit 99
        listed=$(mq ls ./m/q)
        for words in 'claim ./m/q' 'pop ./m/q' 'work ./m/q --drain -- cat' 'send ./m/q x' \"ack $receipt\" \"nack $receipt\" \\
            \"dead $receipt\" 'pause ./m/q' 'rm ./m/q --all' 'create ./m/other'
        do
            mq $words </dev/null
            [ $? = 74 ] || echo \"mq $words\"
        done
        [ \"$(mq ls ./m/q)\" = \"$listed\" ] || mq ls ./m/q
        mount -o remount,rw m || exit 99
        mq ack $receipt
        mq work ./m/q --drain -- cat
        mq fsck ./m/q";
    let Some(ran) = mounting("a file system that becomes read-only", &sandbox, script) else { return };
    let told = ran.code(0).prints("2\n3\n4\n5\n");
    let said: Vec<&str> = told.stderr.lines().filter(|line| explains(line, Errno::ROFS)).collect();
    assert!(said.len() >= 10, "{}", told.stderr);
}
