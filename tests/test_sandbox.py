"""Programs that nobody vouches for: what they may not see, and what they may not take, in every mechanism that works here."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tutelage.sandbox import MECHANISMS, Limits, Mechanism, Ran, Sandbox, SandboxError

QUICK = Limits(cpu_s=1, wall_s=120, memory_mb=256)


@cache
def here() -> dict[Mechanism, Sandbox]:
    found: dict[Mechanism, Sandbox] = {}
    for mechanism in MECHANISMS:
        try:
            found[mechanism] = Sandbox.find([mechanism])
        except SandboxError:
            continue
    return found


def hiding() -> list[Sandbox]:
    """Those that hide files and network; there is one wherever bubblewrap is or user namespaces are allowed."""
    found = [sandbox for sandbox in here().values() if sandbox.hides_files_and_network]
    if not found:
        pytest.skip("this machine has no bubblewrap and forbids user namespaces")
    return found


def run(sandbox: Sandbox, program: str, limits: Limits = QUICK, given: bytes = b"") -> Ran:
    return sandbox.run({"main.py": program}, limits, given=given)


def test_one_works_here_and_it_says_what_is_missing() -> None:
    found = Sandbox.find()
    assert found.mechanism == next(iter(here())) and set(found.missing) == set(MECHANISMS[:MECHANISMS.index(found.mechanism)])
    with pytest.raises(SandboxError, match="no program can be run in a sandbox here"):
        Sandbox.find([])


def test_a_program_runs_in_a_directory_of_its_own_with_an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    program = "import os, sys; print(sorted(os.environ), os.listdir('.'), sys.stdin.read()); open('x', 'w').write('x')"
    for sandbox in here().values():
        ran = run(sandbox, program, given=b"told")
        # LC_CTYPE is what Python itself sets where there is no locale
        assert ran.code == 0 and ran.output.decode() in (f"{names} ['main.py'] told\n" for names in ([], ["LC_CTYPE"]))


def test_a_program_that_has_said_all_may_end_in_its_own_time_and_no_later() -> None:
    closes = "import os, sys, time; print('said', flush=True); os.close(1); os.close(2); time.sleep({}); sys.exit(3)"
    for sandbox in here().values():
        ran = run(sandbox, closes.format(0.5))
        assert (ran.code, ran.output, ran.over) == (3, b"said\n", "")
        slow = run(sandbox, closes.format(60), limits=Limits(wall_s=3.0))
        assert slow.over == "time" and slow.code < 0 and slow.output == b"said\n"


def test_there_is_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        program = f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 5)\nexcept OSError: print('refused')"
        for sandbox in hiding():
            assert run(sandbox, program).output == b"refused\n"
            with pytest.raises(TimeoutError):
                server.accept()


def test_files_and_processes_outside_are_not_there(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    paths = [str(secret), "/etc/passwd", f"/proc/1/root{secret}", f"/proc/{os.getpid()}/environ"]
    program = (f"for path in {paths}:\n    try: print(open(path).read())\n    except OSError: print('not there')\n"
               "for path in ('/usr/x', '/lib/x'):\n    try: open(path, 'w'); print('written')\n    except OSError: print('no')")
    for sandbox in hiding():
        assert run(sandbox, program).output.split() == b"not there not there not there not there no no".split()


@pytest.mark.parametrize(("program", "ends"), [
    ("x = bytearray(10**9)", "MemoryError"), ("open('big', 'wb').write(b'x' * (40 << 20))", "OSError"),
    ("import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError"),
    ("import os; os.setuid(0); open('/etc/shadow')", "Error"),
], ids=["memory", "file", "limits are lifted", "rights are taken back"])
def test_what_it_may_take_is_bounded(program: str, ends: str) -> None:
    for sandbox in here().values():
        ran = run(sandbox, program)
        assert ran.code != 0 and ends in ran.output.decode(errors="replace").splitlines()[-1]


def test_time_and_output_are_bounded() -> None:
    for sandbox in here().values():
        assert run(sandbox, "while True: pass").code != 0      # its processor time ends it, or the clock
        assert run(sandbox, "import time; time.sleep(999)", Limits(wall_s=2.0)).over == "time"
        ran = run(sandbox, "while True: print('x' * 1000)", Limits(output_bytes=5000))
        assert ran.over == "output" and len(ran.output) == 5000


def test_a_fork_bomb_is_stopped_and_leaves_nothing_behind() -> None:
    program = ("import os, time\ncount = 0\ntry:\n    while True:\n        if os.fork() == 0:\n"
               "            os.setsid(); os.close(1); os.close(2); time.sleep(600)\n        count += 1\n"
               "except OSError: print(count, flush=True)")
    for sandbox in here().values():
        ran = run(sandbox, program, Limits(processes=12))
        assert 0 < int(ran.output) <= 12
        if sandbox.hides_files_and_network or os.geteuid() == 0:      # else what leaves the session lives on
            assert _within_seconds(lambda: not children_of_this()), children_of_this()


def _within_seconds(done: Callable[[], bool]) -> bool:
    for _ in range(200):
        if done():
            return True
        time.sleep(0.05)
    return False


def children_of_this() -> list[str]:
    """Programs of sandboxes that are at work, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"main.py" in words and b"-S" in words:
            found.append(str(path))
    return found


def test_programs_beside_each_other_do_not_meet() -> None:
    found, results = Sandbox.find(), []
    program = "open('mine', 'w').write('x'); import os, time; time.sleep(0.2); print(len(os.listdir('.')))"
    threads = [threading.Thread(target=lambda: results.append(found.run({"main.py": program}, QUICK).output)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == [b"2\n"] * 3
