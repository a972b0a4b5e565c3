"""SQLite's claim and delete in one process, for tests/bench/compare: WAL, synchronous=NORMAL, a transaction each.

usage: sqlite-claims.py FILE MESSAGES

Fills a fresh FILE, then claims and deletes them all; prints the seconds that the claims and deletes took.
"""

import sqlite3
import sys
import time


def main():
    file, messages = sys.argv[1], int(sys.argv[2])
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    db.execute("create table queue (id integer primary key, state integer not null, body blob)")
    db.execute("begin")
    db.executemany("insert into queue (state, body) values (0, ?)", ((b"%d" % at,) for at in range(messages)))
    db.execute("commit")

    start = time.monotonic()
    for _ in range(messages):
        db.execute("begin immediate")
        (at, _) = db.execute("select id, body from queue where state = 0 order by id limit 1").fetchone()
        db.execute("update queue set state = 1 where id = ?", (at,))
        db.execute("commit")
        db.execute("delete from queue where id = ?", (at,))
    taken = time.monotonic() - start
    if db.execute("select count(*) from queue").fetchone() != (0,):
        sys.exit("sqlite-claims.py: something is left")
    print(f"{taken:.6f}")


main()
