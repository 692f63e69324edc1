"""A PostgreSQL of the tests' own: Debian's programs, a directory that goes away, a port of 127.0.0.1, no privileges."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

NEEDED = ("PostgreSQL is not installed, so the store is not tried on it. Debian and Ubuntu: apt-get install postgresql "
          "(the tests start a server of their own).")


def programs() -> Path | None:
    """The directory of initdb and postgres; the newest version where there are several."""
    found = [Path(each).parent for each in (shutil.which("initdb"),) if each]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(3), reverse=True)
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _die_with_us() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)          # PR_SET_PDEATHSIG: a killed test run leaves no server behind


class Server:
    """`with Server() as server: Store.open(server.new_database())`."""

    def __init__(self, *settings: str) -> None:
        self._settings = settings or ("fsync=off", "full_page_writes=off")       # the machine's crash is not what is tried
        self._numbers = itertools.count(1)
        self._template = ""

    def __enter__(self) -> Server:
        binaries = programs()
        assert binaries is not None, NEEDED
        self._home = Path(tempfile.mkdtemp(prefix="tutelage-pg-"))
        self._user = {"user": _nobody(), "group": pwd.getpwnam(_nobody()).pw_gid} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(self._home, self._user["user"])
        data = self._home / "data"
        self._run(binaries / "initdb", "-D", data, "-U", "tutelage", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = [binaries / "postgres", "-D", data, "-p", str(self.port), "-k", self._home, "-c", "listen_addresses=127.0.0.1"]
        words += [word for setting in self._settings for word in ("-c", setting)]
        self._log = open(self._home / "log", "w")
        self._server = subprocess.Popen(words, stdout=self._log, stderr=self._log, cwd="/", preexec_fn=_die_with_us,
                                        **self._user)      # type: ignore[call-overload]
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.send_signal(signal.SIGINT)            # "fast" shutdown
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._log.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://tutelage@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a database of its own, empty or a copy of `template`."""
        name = f"t{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def new_store(self) -> str:
        """The URL of a database that is a store already: a copy of one, which is much faster than making each."""
        if not self._template:
            from tutelage.store import Store

            url = self.new_database()
            Store.open(url).close()
            self._template = url.rpartition("/")[2]
        return self.new_database(self._template)

    def _sql(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, *words: object) -> None:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd="/", **self._user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        for _ in range(300):
            try:
                return self._sql("SELECT 1")
            except Exception:
                assert self._server.poll() is None, (self._home / "log").read_text()
                time.sleep(0.1)
        raise AssertionError(f"PostgreSQL did not answer: {(self._home / 'log').read_text()}")


def _nobody() -> str:
    """PostgreSQL refuses to run as root."""
    return "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"
