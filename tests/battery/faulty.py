#!/usr/bin/python3
"""A FUSE file system that shows a directory, and fails with EIO at times; it knows no flags of renameat2(2): EINVAL.

    faulty.py DIRECTORY MOUNTPOINT SWITCH -f      while the file SWITCH exists, it says how many of a hundred calls fail

It is made with libfuse 2 (Debian: python3-fuse), which has no rename with flags, so the kernel says EINVAL for those.
"""

import errno
import os
import random
import stat
import sys

import fuse

fuse.fuse_python_api = (0, 2)
SHOWN, SWITCH = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(2))


def broken():
    try:
        with open(SWITCH, encoding="ascii") as file:
            if random.random() * 100 < float(file.read() or 0):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
    except FileNotFoundError:
        pass


def at(path):
    return SHOWN + path


class Opened:
    def __init__(self, path, flags, *mode):
        broken()
        self.fd = os.open(at(path), flags & ~os.O_NOFOLLOW, *mode)
        self.direct_io, self.keep_cache = False, False

    def read(self, length, offset):
        broken()
        return os.pread(self.fd, length, offset)

    def write(self, bytes_, offset):
        broken()
        return os.pwrite(self.fd, bytes_, offset)

    def release(self, _):
        os.close(self.fd)

    def fsync(self, _):
        broken()
        os.fsync(self.fd)

    def flush(self):
        pass

    def fgetattr(self):
        return os.fstat(self.fd)

    def ftruncate(self, length):
        broken()
        os.ftruncate(self.fd, length)


class Faulty(fuse.Fuse):
    file_class = Opened

    def getattr(self, path):
        return os.lstat(at(path))

    def access(self, path, mode):
        if not os.access(at(path), mode):
            return -errno.EACCES
        return None

    def readdir(self, path, _):
        broken()
        for name in [".", "..", *os.listdir(at(path))]:
            yield fuse.Direntry(name)

    def unlink(self, path):
        broken()
        os.unlink(at(path))

    def rmdir(self, path):
        broken()
        os.rmdir(at(path))

    def rename(self, path, new):
        broken()
        os.rename(at(path), at(new))

    def mkdir(self, path, mode):
        broken()
        os.mkdir(at(path), mode)

    def mknod(self, path, mode, device):
        broken()
        os.mknod(at(path), mode, device)

    def chmod(self, path, mode):
        os.chmod(at(path), stat.S_IMODE(mode))

    def chown(self, path, user, group):
        os.chown(at(path), user, group)

    def truncate(self, path, length):
        broken()
        os.truncate(at(path), length)

    def utimens(self, path, accessed, modified):
        def nanoseconds(time):
            return int(time.tv_sec) * 10**9 + int(time.tv_nsec)

        broken()
        # UTIME_NOW comes as it is.
        if modified.tv_nsec >= 1 << 29 and modified.tv_nsec > 10**9:
            os.utime(at(path))
        else:
            os.utime(at(path), ns=(nanoseconds(accessed), nanoseconds(modified)))

    def statfs(self):
        return os.statvfs(SHOWN)


server = Faulty(version="faulty", dash_s_do="setsingle")
server.multithreaded = False
server.parse(["-o", "hard_remove,attr_timeout=0,entry_timeout=0,negative_timeout=0", *sys.argv[1:]], errex=1)
server.main()
