"""Run a Python program that nobody vouches for: no network, an empty environment, a directory of its own, and limits.

    Sandbox.find().run({"main.py": text}, Limits())

Three mechanisms, the strongest that works here: `bubblewrap`; `namespaces`, the same by unshare, mount and chroot; and
`limits`, which bounds what a program takes and hides neither files nor network. All of them share this machine's kernel: they
hold a program that went wrong, and one that cheats, not an attacker who knows a hole in the kernel.
"""

from __future__ import annotations

import itertools
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

from tutelage.errors import TutelageError
from tutelage.sandbox_launch import Launch

Mechanism = Literal["bubblewrap", "namespaces", "limits"]
MECHANISMS: tuple[Mechanism, ...] = ("bubblewrap", "namespaces", "limits")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_FIRST_UID, _NUM_UIDS = 1_879_048_192, 1 << 20      # of no account anywhere; used where we are root, one a program
_numbers = itertools.count(os.getpid() * 97)

# Builds a root of its own in $2 (read-only system, a small /work with the program), gives up all rights and becomes Python.
_BUILD_ROOT = """
set -e
mount=$1 root=$2 work=$3 size=$4 owner=$5 chroot=$6; shift 6
$mount -t tmpfs -o size=$size,nr_inodes=2048,mode=755,nosuid,nodev tmpfs $root
mkdir $root/work $root/tmp $root/dev $root/proc
for each in "$@"; do
    shift; [ "$each" = -- ] && break
    if [ -L "$each" ]; then ln -s "$(readlink "$each")" "$root$each"; continue; fi
    mkdir -p "$root$each"
    $mount --bind "$each" "$root$each"
    $mount -o remount,bind,ro,nosuid,nodev "$root$each"
done
for each in null zero urandom; do : > $root/dev/$each; $mount --bind /dev/$each $root/dev/$each; done
cp -r $work/. $root/work/
chown -R $owner $root/work $root/tmp
exec $chroot $root "$@"
"""


class SandboxError(TutelageError, RuntimeError):
    """No way was found to run a program here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may take."""

    cpu_s: float = 5.0         # processor time of each process
    wall_s: float = 60.0       # on the clock, all together: generous, for a busy machine
    memory_mb: int = 512       # address space of each process
    processes: int = 16        # processes and threads at the same time
    file_mb: int = 16          # each file; with namespaces all files together
    output_bytes: int = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended: `code` as a shell has it (negative: a signal), `output` as far as the limit, and which limit of ours,
    if any, ended it."""

    code: int
    output: bytes
    over: Literal["", "time", "output"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A mechanism that was tried and works, and the Python it runs."""

    mechanism: Mechanism
    python: str
    missing: Mapping[str, str]      # stronger mechanisms, and why they do not work here

    @classmethod
    def find(cls, mechanisms: Sequence[Mechanism] = MECHANISMS) -> Self:
        """The strongest of `mechanisms` that works on this machine, found by running a program in it.

        Raises:
            SandboxError: if none works.
        """
        missing: dict[str, str] = {}
        for mechanism in mechanisms:
            stronger = dict(missing)
            for python in dict.fromkeys((sys._base_executable, "/usr/bin/python3")):      # type: ignore[attr-defined]
                tried = cls(mechanism=mechanism, python=os.path.realpath(python), missing=stronger)
                if (why := tried._trouble()) == "":
                    return tried
                missing[mechanism] = why
        raise SandboxError("no program can be run in a sandbox here: "
                           + "; ".join(f"{name}: {why}" for name, why in missing.items()) + ".")

    @property
    def hides_files_and_network(self) -> bool:
        return self.mechanism != "limits"

    def run(self, files: Mapping[str, str], limits: Limits, main: str = "main.py", given: bytes = b"") -> Ran:
        """Run `main` among `files` (texts by name) in a directory that is gone afterwards; `given` is its standard input.

        The interpreter has its standard library and nothing else; whatever the program leaves behind is killed with it.
        """
        with tempfile.TemporaryDirectory(prefix="tutelage-program-") as folder:
            work, root = Path(folder, "work"), Path(folder, "root")
            work.mkdir()
            root.mkdir()
            for name, text in files.items():
                (work / name).write_text(text, encoding="utf-8", errors="surrogatepass")
            owner = _FIRST_UID + next(_numbers) % _NUM_UIDS if os.geteuid() == 0 else None
            launch = Launch(main=main, directory=str(work) if self.mechanism == "limits" else "/work", cpu_s=limits.cpu_s,
                            memory_mb=limits.memory_mb, processes=limits.processes, file_mb=limits.file_mb, owner=owner,
                            shares_processes=self.mechanism == "limits")
            for path in (Path(folder), work, *work.iterdir()):
                os.chmod(path, 0o755)
                if owner is not None:
                    os.chown(path, owner, owner)
            try:
                return _watched(self._command(work, root, launch, limits), work, limits, given)
            finally:
                if owner is not None:
                    _kill_all_of(owner)

    def _trouble(self) -> str:
        """Why a first program does not run as it should, or ""."""
        try:
            ran = self.run({"main.py": "print(6 * 7)"}, Limits())
        except (OSError, SandboxError) as error:
            return str(error)
        said = ran.output.decode("utf-8", "replace").strip()
        return "" if said == "42" else (said.splitlines() or [f"no answer, code {ran.code}"])[-1][:200]

    def _command(self, work: Path, root: Path, launch: Launch, limits: Limits) -> list[str]:
        """Under `timeout`, which ends it also where this process was killed and cannot."""
        program = launch.command(self.python)
        in_time = [_tool("timeout"), "-s", "KILL", str(round(limits.wall_s) + 10)]
        if self.mechanism == "limits":
            return [*in_time, *program]
        system = [path for path in _SYSTEM if os.path.lexists(path)]
        prefix = str(Path(self.python).parent.parent)
        if not prefix.startswith("/usr"):
            system.append(prefix)
        if self.mechanism == "namespaces":
            return [*in_time, *_unshared(system, work, root, launch, limits.file_mb, program)]
        return [*in_time, *_bubblewrapped(system, work, launch, program)]


def _bubblewrapped(system: Sequence[str], work: Path, launch: Launch, program: Sequence[str]) -> list[str]:
    user = [] if launch.owner is not None else ["--unshare-user"]
    words = [_tool("bwrap"), *user, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
             "--die-with-parent", "--new-session", "--clearenv"]
    for path in system:
        words += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    words += ["--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(work), "/work", "--chdir", "/work", "--cap-drop", "ALL"]
    if launch.owner is not None:      # what the launcher needs to become somebody else
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*words, "--", *program]


def _unshared(system: Sequence[str], work: Path, root: Path, launch: Launch, file_mb: int, program: Sequence[str]) -> list[str]:
    user = [] if launch.owner is not None else ["--user", "--map-root-user"]
    owner = f"{launch.owner}:{launch.owner}" if launch.owner is not None else "0:0"
    return [_tool("unshare"), *user, "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "--mount",
            "--propagation", "private", _tool("sh"), "-c", _BUILD_ROOT, "sh", _tool("mount"), str(root), str(work),
            f"{file_mb}m", owner, _tool("chroot"), *system, "--", *program]


def _tool(name: str) -> str:
    if (path := shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin")) is None:
        raise SandboxError(f"{name} is not installed")
    return path


def _watched(command: Sequence[str], work: Path, limits: Limits, given: bytes) -> Ran:
    """Run it in a session of its own until it ends, its time is over or its output too long; then kill all of the session."""
    process = subprocess.Popen(command, cwd=work, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    assert process.stdin is not None and process.stdout is not None
    over: Literal["", "time", "output"] = ""
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(given)      # a line or two, which any pipe takes
            process.stdin.close()
        deadline = time.monotonic() + limits.wall_s
        output, over = _read(process.stdout, limits, deadline)
        if not over:      # it has said all, and may not have ended yet
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                over = "time"
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    return Ran(code=process.returncode, output=output, over=over)


def _read(pipe: IO[bytes], limits: Limits, deadline: float) -> tuple[bytes, Literal["", "time", "output"]]:
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                piece = os.read(pipe.fileno(), 8192)
                output += piece
                if not piece:
                    return output, ""
                if len(output) > limits.output_bytes:
                    return output[: limits.output_bytes], "output"
    return output, "time"


def _kill_all_of(owner: int) -> None:
    """Also those that left the session, where no namespace took them with it."""
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == owner:
                os.kill(int(name), signal.SIGKILL)
