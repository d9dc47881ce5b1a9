#!/usr/bin/env python3
"""Where io_uring is forbidden, as in most containers, the start says so and names the remedy."""

import ctypes
import errno
import struct

import harness

NR_IO_URING_SETUP = 425  # on every architecture

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000

# Classic BPF: load the system call's number; if it is io_uring_setup, fail it; allow the rest.
BPF_LOAD_WORD = 0x20
BPF_JUMP_EQUAL = 0x15
BPF_RETURN = 0x06

libc = ctypes.CDLL(None, use_errno=True)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def denial(error_number):
    """What a child calls so that io_uring_setup(2) fails with `error_number` from then on."""
    instructions = [
        (BPF_LOAD_WORD, 0, 0, 0),
        (BPF_JUMP_EQUAL, 0, 1, NR_IO_URING_SETUP),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | error_number),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(instructions), ctypes.cast(buffer, ctypes.c_void_p))
    argument = ctypes.byref(program)

    def deny():
        zero = ctypes.c_ulong(0)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
        if libc.prctl(PR_SET_SECCOMP, mode, argument, zero, zero) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")

    deny.keep = (buffer, program)
    return deny


class EngineDenied(harness.ServerTest):
    def start(self, error_number, *options):
        server = harness.Server(self.tree({"f.txt": "f"}), *options, preexec=denial(error_number))
        self.addCleanup(server.kill)
        server.spawn()
        self.assertEqual(server.wait_for_exit(), 1, server.lines)
        text = "\n".join(server.lines)
        self.assertNotIn("turntable: ready", text)
        self.assertNotRegex(text, harness.ALARM_WORDS)
        errors = [line for line in server.lines if line.startswith("turntable: error ")]
        self.assertEqual(len(errors), 1, text)
        return errors[0]

    def test_forbidden_by_seccomp(self):
        line = self.start(errno.EPERM)
        for word in ("io_uring", "seccomp"):
            self.assertIn(word, line)
        self.assertRegex(line, "--security-opt|SystemCallFilter|sysctl", "the remedy")

    def test_hidden_by_seccomp(self):
        line = self.start(errno.ENOSYS)
        for word in ("io_uring", "seccomp", "profile"):
            self.assertIn(word, line)

    def test_engine_asked_for_by_name(self):
        self.assertIn("seccomp", self.start(errno.EPERM, "--engine", "uring"))

    def test_no_memory_for_a_ring(self):
        self.assertIn("LimitMEMLOCK", self.start(errno.ENOMEM))

    def test_no_descriptor_for_a_ring(self):
        self.assertIn("LimitNOFILE", self.start(errno.EMFILE))


if __name__ == "__main__":
    harness.main()
