//! Who holds a lock, by the kernel's table of them (proc_locks(5)). To be told to a person: nothing is decided by it.

use super::Holder;
use std::fs::File;
use std::io::{self, Read};

/// In how many tables a lock is looked for. The kernel gives a table in pieces, lets locks come and go between them, and goes
/// on by how many lines it has given: a lock that was there all the time is left out where others went meanwhile.
const TABLES: u32 = 16;
/// A table that is shorter came in one piece: whole lines, up to a page of them, are given at a time.
const PIECE: usize = 2048;

/// Who holds the flock(2) on an inode; `None` where nobody does, or the system does not tell.
pub(super) fn holder(inode: u64) -> Option<Holder> {
    look(inode, read)
}

fn read() -> io::Result<String> {
    // Room from the start: what is read by a few bytes comes in more pieces.
    let mut table = String::with_capacity(16 << 10);
    File::open("/proc/locks")?.read_to_string(&mut table)?;
    Ok(table)
}

fn look(inode: u64, mut read: impl FnMut() -> io::Result<String>) -> Option<Holder> {
    for _ in 0..TABLES {
        let table = read().ok()?;
        let found = find(&table, inode);
        if found.is_some() || table.len() < PIECE {
            return found;
        }
    }
    None
}

/// One line a lock: `1: FLOCK  ADVISORY  WRITE 713 fd:00:1053 0 EOF`. A waiter's line has `->`; a holder in another namespace
/// of processes has no number.
fn find(table: &str, inode: u64) -> Option<Holder> {
    let inode = inode.to_string();
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let flock = words.next()? == "FLOCK";
        let pid: u32 = words.nth(2)?.parse().ok()?;
        let (_, found) = words.next()?.rsplit_once(':')?;
        (flock && pid > 0 && found == inode).then_some(Holder { pid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, pid: u32, inode: u64) -> String {
        format!("1: {kind}  ADVISORY  WRITE {pid} fd:00:{inode} 0 EOF\n")
    }

    fn others(count: u64) -> String {
        (0..count).map(|n| line("FLOCK", 1, 100 + n)).collect()
    }

    #[test]
    fn a_holder_is_found_by_the_whole_inode_and_the_kind_of_lock() {
        let table = line("FLOCK", 3, 17) + &line("POSIX", 4, 7) + &line("-> FLOCK", 5, 7) + &line("FLOCK", 0, 7);
        assert_eq!(find(&table, 7), None);
        assert_eq!(find(&(table + &line("FLOCK", 6, 7)), 7), Some(Holder { pid: 6 }));
    }

    #[test]
    fn a_lock_that_is_left_out_of_a_long_table_is_looked_for_again() {
        let mut reads = 0;
        let found = look(7, || {
            reads += 1;
            Ok(if reads < 5 { others(100) } else { others(100) + &line("FLOCK", 6, 7) })
        });
        assert_eq!((found, reads), (Some(Holder { pid: 6 }), 5));
    }

    #[test]
    fn what_nobody_holds_takes_one_short_table_or_a_few_long_ones() {
        for (table, expected) in [(others(10), 1), (others(100), TABLES)] {
            let mut reads = 0;
            let found = look(7, || {
                reads += 1;
                Ok(table.clone())
            });
            assert_eq!((found, reads), (None, expected));
        }
    }
}
