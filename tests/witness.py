"""A witness from outside: inotify tells when the kernel has let go of a file for good.

IN_DELETE_SELF comes when an inode has no name and no user any more: what a server says it has
released can be checked against it.
"""

import ctypes
import os
import select
import struct
import time

IN_DELETE_SELF = 0x00000400
IN_Q_OVERFLOW = 0x00004000

EVENT = struct.Struct("iIII")

libc = ctypes.CDLL(None, use_errno=True)


class Witness:
    """Watches files, each by its inode."""

    def __init__(self):
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.watched = {}  # watch descriptor -> what the caller calls it
        self.gone = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def watch(self, path, name):
        """Watches the file that has this path now, as `name`."""
        descriptor = libc.inotify_add_watch(self.fd, os.fsencode(path), IN_DELETE_SELF)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), f"inotify_add_watch {path}")
        if descriptor in self.watched:
            raise AssertionError(f"{name} is the same inode as {self.watched[descriptor]}")
        self.watched[descriptor] = name

    def _take(self):
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            descriptor, mask, _, name_bytes = EVENT.unpack_from(data, offset)
            offset += EVENT.size + name_bytes
            if mask & IN_Q_OVERFLOW:
                raise AssertionError("the witness missed events")
            if mask & IN_DELETE_SELF:
                self.gone.add(self.watched.pop(descriptor))

    def wait_for(self, names, seconds):
        """Waits until all of `names` are gone; returns those that are not."""
        end = time.monotonic() + seconds
        self._take()
        while not set(names) <= self.gone and time.monotonic() < end:
            select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
            self._take()
        return set(names) - self.gone
