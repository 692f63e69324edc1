"""What stands between a sandbox and the program in it: limits are set, rights given up, then Python becomes the program.

`Launch.command` runs `_SOURCE` with the interpreter of the sandbox, which has no Tutelage: it imports the standard library only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

_SOURCE = '''
import ctypes, json, os, resource, sys
asked = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)


def limit(what, value):
    resource.setrlimit(what, (value, value))


def mine():
    """Processes and threads that this user has already, as far as they can be seen."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat("/proc/" + name).st_uid == os.getuid():
                    count += len(os.listdir("/proc/" + name + "/task"))
            except OSError:
                pass
    return count


if asked["owner"] is not None:
    os.setgroups([])
    os.setresgid(asked["owner"], asked["owner"], asked["owner"])
    os.setresuid(asked["owner"], asked["owner"], asked["owner"])
os.umask(0o077)
os.chdir(asked["directory"])
others = mine() if asked["shares_processes"] and asked["owner"] is None else 0
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
    sys.exit("rights cannot be given up here")
if asked["owner"] is None and os.getuid() == 0:      # root of a user namespace: what it execs would have all its rights
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
limit(resource.RLIMIT_CORE, 0)
limit(resource.RLIMIT_CPU, asked["cpu_s"])
limit(resource.RLIMIT_AS, asked["memory"])
limit(resource.RLIMIT_FSIZE, asked["file"])
limit(resource.RLIMIT_NOFILE, 64)
limit(resource.RLIMIT_NPROC, others + asked["processes"])
os.execve(sys.executable, [sys.executable, "-I", "-S", "-B", "-X", "utf8", asked["main"]], {})
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the launcher is told. `owner` is the user id to become, where it begins as root."""

    main: str
    directory: str              # where it is, as the sandbox sees it
    cpu_s: float
    memory_mb: int
    processes: int
    file_mb: int
    owner: int | None
    shares_processes: bool      # whether other processes of the same user count against the limit

    def command(self, python: str) -> list[str]:
        told = asdict(self) | {"cpu_s": max(1, round(self.cpu_s)), "memory": self.memory_mb << 20, "file": self.file_mb << 20}
        return [python, "-I", "-S", "-B", "-X", "utf8", "-c", _SOURCE, json.dumps(told)]
