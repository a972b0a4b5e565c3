//! That the model keeps the rules it claims to keep.

use super::{Cut, Machine};
use crate::support::inject::{Injected, Plan};
use mq::fs::{Access, Birth, Dir, Disk, File, Kind, Store};
use rustix::io::Errno;
use std::path::Path;
use std::time::Duration;

const BIRTH: Birth = Birth { mode: 0o700, owner: None };

fn root(disk: &Disk) -> Dir {
    disk.open_queue(Path::new("/")).unwrap()
}

fn file(disk: &Disk, at: &Dir, name: &str, bytes: &[u8]) -> File {
    let file = disk.create(at, name, BIRTH).unwrap();
    disk.write_all(&file, bytes, 0).unwrap();
    file
}

fn errno(result: mq::fs::Result<impl Sized>) -> Errno {
    Errno::from_io_error(&result.err().unwrap().source).unwrap()
}

/// The model, and the file system below the temporary directory: both must say the same.
fn both(test: impl Fn(&Disk, &Path)) {
    test(&Machine::new(1).disk(), Path::new("/"));
    let path = std::env::temp_dir().join(format!("mq-model-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir(&path).unwrap();
    test(&Disk::real(), &path);
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn errors_are_those_of_the_kernel() {
    both(|disk, path| {
        let root = disk.open_queue(path).unwrap();
        disk.make_dir(&root, "d", BIRTH).unwrap();
        let d = disk.open_dir(&root, "d").unwrap();
        let f = file(disk, &d, "f", b"1");
        file(disk, &d, "g", b"2");
        assert_eq!(errno(disk.create(&d, "f", BIRTH)), Errno::EXIST);
        assert_eq!(errno(disk.make_dir(&root, "d", BIRTH)), Errno::EXIST);
        assert_eq!(errno(disk.make_queue(&path.join("d"), BIRTH)), Errno::EXIST);
        assert_eq!(errno(disk.make_queue(&path.join("no/d"), BIRTH)), Errno::NOENT);
        assert_eq!(errno(disk.open_queue(&path.join("d/f"))), Errno::NOTDIR);
        assert_eq!(errno(disk.rename(&d, "f", &d, "g")), Errno::EXIST);
        assert_eq!(errno(disk.rename(&d, "nothing", &d, "g")), Errno::NOENT);
        assert_eq!(errno(disk.replace(&d, "nothing", "g")), Errno::NOENT);
        assert_eq!(errno(disk.remove_dir(&root, "d")), Errno::NOTEMPTY);
        assert_eq!(errno(disk.remove_dir(&d, "f")), Errno::NOTDIR);
        assert_eq!(errno(disk.unlink(&root, "d")), Errno::ISDIR);
        assert_eq!(errno(disk.open(&root, "d", Access::Write)), Errno::ISDIR);
        assert_eq!(errno(disk.open_dir(&d, "f")), Errno::NOTDIR);
        assert_eq!(errno(disk.open_dir(&root, "")), Errno::NOENT);
        assert_eq!(errno(disk.stat_at(&d, "x".repeat(256))), Errno::NAMETOOLONG);
        let reading = disk.open(&d, "f", Access::Read).unwrap();
        assert_eq!(errno(disk.write_all(&reading, b"x", 0)), Errno::BADF);
        assert_eq!(errno(disk.read_at(&disk.open(&root, "d", Access::Read).unwrap(), &mut [0], 0)), Errno::ISDIR);
        assert_eq!(errno(disk.truncate(&reading, 0)), Errno::INVAL);
        disk.replace(&d, "f", "g").unwrap();
        disk.unlink(&d, "g").unwrap();
        assert_eq!((disk.stat(&f).unwrap().links, disk.stat(&f).unwrap().size), (0, 1));
    });
}

#[test]
fn a_removed_directory_takes_no_names_and_lists_none() {
    both(|disk, path| {
        let root = disk.open_queue(path).unwrap();
        disk.make_dir(&root, "d", BIRTH).unwrap();
        let d = disk.open_dir(&root, "d").unwrap();
        file(disk, &root, "f", b"");
        disk.remove_dir(&root, "d").unwrap();
        assert_eq!(errno(disk.create(&d, "x", BIRTH)), Errno::NOENT);
        assert_eq!(errno(disk.make_dir(&d, "x", BIRTH)), Errno::NOENT);
        assert_eq!(errno(disk.rename(&root, "f", &d, "f")), Errno::NOENT);
        assert_eq!(errno(disk.stat_at(&d, "f")), Errno::NOENT);
        assert_eq!(disk.names(&d).unwrap(), []);
    });
}

#[test]
fn what_is_no_file_is_not_opened_as_one() {
    let machine = Machine::new(1);
    let disk = machine.disk();
    let root = root(&disk);
    machine.mkdir("/d");
    machine.symlink("/l", "d");
    machine.socket("/s");
    assert_eq!(errno(disk.open_dir(&root, "l")), Errno::LOOP);
    assert_eq!(errno(disk.open(&root, "l", Access::Read)), Errno::LOOP);
    assert_eq!(errno(disk.open(&root, "s", Access::Write)), Errno::NXIO);
    assert_eq!(disk.stat_path(Path::new("/l")).unwrap().kind, Kind::Dir);
    machine.symlink("/loop", "/loop");
    assert_eq!(errno(disk.open_queue(Path::new("/loop"))), Errno::LOOP);
}

#[test]
fn a_lock_belongs_to_its_opening_and_ends_with_it() {
    let machine = Machine::new(1);
    let (one, other) = (machine.process(), machine.disk());
    let disk = Disk::new(one.clone());
    let at = root(&disk);
    let held = file(&disk, &at, "f", b"");
    let second = disk.open(&at, "f", Access::Read).unwrap();
    let foreign = other.open(&root(&other), "f", Access::Read).unwrap();
    assert!(disk.try_lock(&held).unwrap() && disk.try_lock(&held).unwrap());
    assert!(!disk.try_lock(&second).unwrap() && !other.lock(&foreign, Duration::from_secs(1)).unwrap());
    assert_eq!(other.holder(&other.stat(&foreign).unwrap()).unwrap().pid, one.id());
    disk.unlock(&second).unwrap();
    assert!(!other.try_lock(&foreign).unwrap());
    drop(held);
    assert!(disk.try_lock(&second).unwrap());
    machine.kill(&one);
    assert!(other.try_lock(&foreign).unwrap());
    assert_eq!(errno(disk.stat(&second)), Errno::BADF);
}

#[test]
fn a_number_is_used_again_but_not_while_its_file_is_open() {
    let disk = Machine::new(1).disk();
    let root = root(&disk);
    let first = file(&disk, &root, "a", b"");
    let number = disk.stat(&first).unwrap().identity;
    disk.unlink(&root, "a").unwrap();
    assert_eq!(disk.stat(&first).unwrap().links, 0);
    assert_ne!(disk.stat(&file(&disk, &root, "b", b"")).unwrap().identity, number);
    drop(first);
    assert_eq!(disk.stat(&file(&disk, &root, "c", b"")).unwrap().identity, number);
}

#[test]
fn a_flush_of_one_file_commits_all_names_before_it_and_no_other_contents() {
    let machine = Machine::new(1);
    let disk = machine.disk();
    let root = root(&disk);
    let _lost = file(&disk, &root, "other", b"contents");
    let kept = file(&disk, &root, "one", b"contents");
    disk.rename(&root, "other", &root, "moved").unwrap();
    disk.sync_file(&kept).unwrap();
    disk.rename(&root, "moved", &root, "later").unwrap();
    let after = machine.crash(Cut::Nothing);
    assert_eq!(after.files("/"), ["moved", "one"]);
    assert_eq!((after.read("/one").unwrap(), after.read("/moved").unwrap()), (b"contents".to_vec(), vec![]));
    assert_eq!(machine.crash(Cut::Everything).files("/"), ["later", "one"]);
    disk.sync_all(&root).unwrap();
    assert_eq!(machine.unflushed(), 0);
    assert_eq!(machine.crash(Cut::Nothing).read("/later").unwrap(), b"contents");
}

#[test]
fn where_fsync_says_nothing_of_names_the_directory_must_be_flushed() {
    let machine = Machine::on(Store::Other, 1);
    let disk = machine.disk();
    let root = root(&disk);
    let kept = file(&disk, &root, "one", b"contents");
    disk.sync_file(&kept).unwrap();
    assert!(machine.crash(Cut::Nothing).files("/").is_empty());
    disk.sync_dir(&root).unwrap();
    assert_eq!(machine.crash(Cut::Nothing).read("/one").unwrap(), b"contents");
}

#[test]
fn names_survive_in_order_and_writes_in_any() {
    let machine = Machine::new(1);
    machine.set_short(false);
    let disk = machine.disk();
    let root = root(&disk);
    let a = file(&disk, &root, "a", b"aaaa");
    disk.write_all(&a, b"bbbb", 4).unwrap();
    file(&disk, &root, "b", b"");
    disk.rename(&root, "a", &root, "c").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let after = machine.crash(Cut::Some(seed));
        let files = after.files("/").join(" ");
        assert!(["", "a", "a b", "b c"].contains(&files.as_str()), "{files}");
        seen.insert(format!("{files}: {:?}", after.read("/c").map(String::from_utf8)));
    }
    for contents in ["\"\"", "\"aaaa\"", "\"aa\"", "\"aaaabb\"", "\"\\0\\0\\0\\0bbbb\"", "\"aaaabbbb\""] {
        assert!(seen.contains(&format!("b c: Some(Ok({contents}))")), "{contents} not in {seen:#?}");
    }
}

#[test]
fn contents_whose_flush_failed_are_gone_after_a_cut_though_all_read_them() {
    let machine = Machine::new(1);
    let told = machine.clone();
    let (steps, tape) = Injected::new(machine.process(), Plan::FailOnce(4, Errno::IO));
    let disk = Disk::new(steps.on_failed_flush(move |file| told.flush_failed(file)));
    machine.set_short(false);
    let root = root(&disk);
    let f = file(&disk, &root, "f", b"contents");
    assert_eq!(errno(disk.sync_file(&f)), Errno::IO);
    disk.sync_file(&f).unwrap();
    assert_eq!((tape.steps(), machine.read("/f").unwrap()), (5, b"contents".to_vec()));
    assert_eq!(machine.crash(Cut::Everything).read("/f").unwrap(), b"");
}

#[test]
fn a_stopped_process_leaves_what_it_did_and_does_no_more() {
    for (plan, left) in [(Plan::StopBefore(3), ""), (Plan::StopAfter(3), "new")] {
        let machine = Machine::new(1);
        let (steps, tape) = Injected::new(machine.process(), plan);
        let disk = Disk::new(steps);
        let root = root(&disk);
        disk.stat_dir(&root).unwrap();
        assert!(disk.create(&root, "new", BIRTH).is_err());
        assert!(disk.unlink(&root, "new").is_err());
        assert_eq!(machine.files("/").join(" "), left);
        assert!(tape.trace().contains("create new   <--"), "{}", tape.trace());
    }
}

#[test]
fn a_copy_of_a_machine_goes_its_own_way() {
    let machine = Machine::new(1);
    let disk = machine.disk();
    let held = file(&disk, &root(&disk), "f", b"1");
    assert!(disk.try_lock(&held).unwrap());
    let fork = machine.fork();
    let there = fork.disk();
    let same = there.open(&root(&there), "f", Access::Write).unwrap();
    assert!(there.try_lock(&same).unwrap());
    there.unlink(&root(&there), "f").unwrap();
    assert_eq!((machine.files("/").len(), fork.files("/").len()), (1, 0));
    let kinds: Vec<Kind> = disk.names(&root(&disk)).unwrap().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [Kind::File]);
}
