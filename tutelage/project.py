"""The project directory: its lock and its artifacts.

    DIR/tutelage.toml            marks the project; defaults for its commands
    DIR/feedback.db              the store
    DIR/artifacts/KIND/NAME/vK/  immutable outputs, each with its manifest
    DIR/artifacts/LOG            what was made, erased from and removed, hash-chained (`ledger`)
    DIR/runs/RUN/                executions: config, metrics, checkpoints
    DIR/.lock                    held while a command writes

An artifact is written in a directory beside its place and renamed when complete, so nobody ever sees half of one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from tutelage import disk
from tutelage.config import read_toml
from tutelage.errors import ArtifactError, ConfigError, LockedError, ProjectError
from tutelage.ledger import LOG, Ledger
from tutelage.lineage import Manifest, changed_files, tree_hashes

MARKER = "tutelage.toml"
KINDS = ("dataset", "samples", "model", "classifier", "reward", "report")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TEXT = "# A Tutelage project. Keys set here are the defaults of every command run inside it.\n"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An immutable output: `kind/name@version`, at `path`, described by `manifest`.

    Only an erasure changes it: `state` then names which rows are gone, and `since` what became of its files (None: taken
    away). The manifest still says what it was made as.
    """

    kind: str
    name: str
    version: int
    path: Path
    manifest: Manifest = field(hash=False)
    state: str = ""
    since: Mapping[str, str | None] = field(default_factory=dict, hash=False)

    @property
    def ref(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"

    @property
    def parent_ref(self) -> str:
        """How a child's manifest names it: with its content, so that a swapped parent shows, and with the rows gone from
        it, so that what was made before an erasure is not taken for what is asked after it."""
        return f"{self.ref}#{self.manifest.content_id}" + (f"~{self.state}" if self.state else "")

    @property
    def files(self) -> dict[str, str]:
        """path inside the artifact -> sha256 that it must have now."""
        return {name: digest for name, digest in {**self.manifest.files, **self.since}.items() if digest is not None}

    def verify(self) -> list[str]:
        return changed_files(self.path, replace(self.manifest, files=self.files))


@dataclass(slots=True)
class Draft:
    """An artifact that is being written: `draft / "name"` is a file of it. When the writing has ended, `artifact` is it."""

    path: Path
    made: Artifact | None = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def artifact(self) -> Artifact:
        assert self.made is not None, "asked for before the writing had ended"
        return self.made


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command was asked for: enough for `tutelage runs resume` to ask again.

    `command` is the word of the command line and the function in `tutelage.api` ("" where Python called the stage itself).
    """

    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    allow_drift: bool = False      # go on under other circumstances than a run began with, and say so in its manifest


@dataclass(frozen=True, slots=True)
class Project:
    """A directory all commands work inside. Make one with `init`, find one with `open`."""

    root: Path
    store_url: str = ""                # of --store; "" leaves it to tutelage.toml
    asked: Asked = field(default_factory=Asked, compare=False)

    @classmethod
    def init(cls, directory: Path) -> Project:
        """Make `directory` a project; harmless where it already is one."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            marker = directory / MARKER
            if not marker.exists():
                marker.write_text(_TEXT, encoding="utf-8")
        except OSError as error:
            raise ProjectError(f"cannot make a project in {directory}: {error.strerror}. Choose another directory.") from None
        return cls(directory.resolve())

    @classmethod
    def open(cls, directory: Path | None = None, store_url: str = "") -> Project:
        """The project at `directory`, else the nearest parent with `tutelage.toml`, else the current directory.

        Nothing is written: the current directory becomes a project when a command that writes takes its `lock`.

        Raises:
            ProjectError: if `directory` was named and is not a project.
        """
        if directory is not None:
            if not (directory / MARKER).is_file():
                raise ProjectError(f"{directory} is not a project: it has no {MARKER}. Make one: tutelage init {directory}")
            return cls(directory.resolve(), store_url)
        here = Path.cwd()
        return cls(next((each for each in (here, *here.parents) if (each / MARKER).is_file()), here), store_url)

    @property
    def store_path(self) -> Path:
        return self.root / "feedback.db"

    @property
    def store_place(self) -> Path | str:
        """Where the feedback store is: the URL of `--store`, else `[store] url` of tutelage.toml, else `store_path`.

        Raises:
            ConfigError: if `[store]` holds anything else.
        """
        if self.store_url:
            return self.store_url
        marker = self.root / MARKER
        table = read_toml(marker).get("store", {}) if marker.is_file() else {}
        if not isinstance(table, dict) or set(table) - {"url"} or not isinstance(table.get("url", ""), str):
            raise ConfigError(f"{marker} has a [store] that is not understood; wanted one key, url, with a text: "
                              'url = "postgresql://person@host/database".')
        return table.get("url") or self.store_path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def ledger(self) -> Ledger:
        """The log as it is on disk now."""
        return Ledger(self.ledger_path)

    @property
    def ledger_path(self) -> Path:
        return self.root / "artifacts" / LOG

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writing command at a time; the kernel drops the lock when the process dies, however it dies."""
        with disk.writing(self.root, "nothing was begun"):
            if not (self.root / MARKER).exists():
                Project.init(self.root)
            file = open(self.root / ".lock", "a+")       # noqa: SIM115 closed with the block below
        with file:
            try:
                _lock(file)
            except BlockingIOError:
                file.seek(0)
                raise LockedError(f"process {file.readline().strip() or '?'} is at work in {self.root}. "
                                  "Wait until it is done, or use another --project.") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self.recover()
            yield

    def working_on(self, run: str) -> None:
        """Write beside the lock which run is being worked on, for `at_work`."""
        with open(self.root / ".lock", "a") as file:
            file.write(f"\n{run}")

    def at_work(self) -> list[str] | None:
        """The runs that the process which holds the lock has begun or gone on with; None where nobody holds it."""
        try:
            with open(self.root / ".lock") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return file.read().splitlines()[1:]
        except FileNotFoundError:
            pass
        return None

    def artifacts(self, kind: str | None = None) -> list[Artifact]:
        """All artifacts that can be read, by kind, name and version; `damaged` names the others."""
        return [found for found in self._read(kind) if isinstance(found, Artifact)]

    def damaged(self) -> list[ArtifactError]:
        """Why each artifact that is left out of `artifacts` cannot be read."""
        return [found for found in self._read(None) if isinstance(found, ArtifactError)]

    def _read(self, kind: str | None) -> Iterator[Artifact | ArtifactError]:
        ledger = self.ledger
        for each in KINDS if kind is None else (kind,):
            paths = [path for path in (self.root / "artifacts" / each).glob("*/v*") if path.name[1:].isdigit()]
            for path in sorted(paths, key=lambda path: (path.parent.name, int(path.name[1:]))):
                ref = f"{each}/{path.parent.name}@{path.name[1:]}"
                try:
                    yield Artifact(each, path.parent.name, int(path.name[1:]), path, Manifest.read(path),
                                   ledger.state(ref), ledger.files(ref))
                except ArtifactError as error:
                    yield error

    def artifact(self, ref: str, kind: str | None = None) -> Artifact:
        """The artifact `ref` names: `kind/name@version`; the kind may be left out where `kind` is given, or where the
        name is used once; without a version, the newest.

        Raises:
            ArtifactError: if there is none, or more than one kind has the name.
        """
        head, _, version = ref.partition("#")[0].partition("@")
        wanted_kind, _, name = head.rpartition("/")
        found = [artifact for artifact in self.artifacts(wanted_kind or kind)
                 if artifact.name == name and version in ("", str(artifact.version))]
        if not found:
            names = ", ".join(dict.fromkeys(artifact.ref for artifact in self.artifacts(wanted_kind or kind))) or "none"
            raise ArtifactError(f"no artifact {ref!r} in {self.root}. There are: {names}.")
        if len({artifact.kind for artifact in found}) > 1:
            raise ArtifactError(f"{ref!r} is the name of {', '.join(artifact.ref for artifact in found)}. Say the kind too.")
        return found[-1]

    def parent(self, parent: str) -> tuple[Artifact | None, str]:
        """The artifact that `Artifact.parent_ref` named in a child's manifest, and what is wrong with it ("" if nothing)."""
        ref, _, content = parent.partition("#")
        content_id, _, state = content.partition("~")
        try:
            found = self.artifact(ref)
        except ArtifactError:
            return None, f"{ref} is gone"
        if content_id and found.manifest.content_id != content_id:
            return found, f"{ref} is not the one this was made from: wanted content {content_id[:12]}"
        if state not in self.ledger.states(ref):
            return found, f"{ref} never lacked just the rows that this was made without (state {state})"
        return found, ""

    def made_from(self, key: str) -> Artifact | None:
        """The artifact that the stage with this `Manifest.key` has already made, if any.

        One that was made with a row that was erased since does not count: it is to be made again without the row.
        """
        gone = self.ledger.descendants
        return next((artifact for artifact in self.artifacts()
                     if artifact.manifest.key == key and artifact.ref not in gone), None)

    def check_parents(self, manifest: Manifest) -> None:
        """Refuse to build on what holds an erased row, or on data that an erasure has not done with.

        Raises:
            ArtifactError: naming the parent, and what to do first.
        """
        ledger = self.ledger
        if (erasure := ledger.unfinished) is not None:
            facts = erasure.facts
            raise ArtifactError(f"an erasure from {facts['root']} was begun and is not finished. Finish it first: "
                                f"tutelage data erase {facts['root']} {' '.join(facts['rows'])}")
        for role, parent in manifest.parents.items():
            ref = parent.partition("#")[0]
            if ref in ledger.descendants:
                raise ArtifactError(f"{manifest.stage} would build on its {role} {ref}, which was made with a row that was "
                                    f"erased since. Make {ref.partition('@')[0]} again first, by the same command as before; "
                                    "what it was made by: tutelage lineage " + ref)

    @contextmanager
    def writing(self, manifest: Manifest) -> Iterator[Draft]:
        """A draft to write an artifact's files into; on leaving it becomes the next version, whole, and its `artifact`.

        The manifest's `files` are filled in here. After an exception nothing is left behind.
        """
        assert manifest.kind in KINDS, f"an artifact of kind {manifest.kind!r} would never be found again"
        check_name(manifest.name)
        self.check_parents(manifest)
        self.recover()
        home = self.root / "artifacts" / manifest.kind / manifest.name
        draft = Draft(home / f".draft-{manifest.key[:12]}")
        with disk.writing(home, "nothing of this artifact is left, and what the run had made stands"):
            shutil.rmtree(draft.path, ignore_errors=True)          # what a killed process left
            draft.path.mkdir(parents=True)
            try:
                yield draft
                complete = replace(manifest, files=tree_hashes(draft.path))
                complete.write(draft.path)
                sync_tree(draft.path)
                made = self._next(complete)
                self.ledger.append("made", artifact=made.ref, content=complete.content_id)
            except BaseException:
                shutil.rmtree(draft.path, ignore_errors=True)
                raise
            os.rename(draft.path, made.path)
            sync_directory(home)
        draft.made = made

    def _next(self, manifest: Manifest) -> Artifact:
        """What `manifest` will be: the version after all that ever were."""
        home = self.root / "artifacts" / manifest.kind / manifest.name
        there = (int(path.name[1:]) for path in home.glob("v*") if path.name[1:].isdigit())
        version = 1 + max([*there, self.ledger.last_version(manifest.kind, manifest.name)], default=0)
        return Artifact(manifest.kind, manifest.name, version, home / f"v{version}", manifest)

    def remove(self, artifact: Artifact) -> None:
        """Take an artifact away for good; the log remembers that it was."""
        self.ledger.append("removed", artifact=artifact.ref, content=artifact.manifest.content_id)
        self._finish_removing(artifact.path)

    def _finish_removing(self, path: Path) -> None:
        going = path.with_name(f".draft-removed-{path.name}")
        shutil.rmtree(going, ignore_errors=True)
        os.rename(path, going)
        sync_directory(path.parent)
        shutil.rmtree(going)

    def recover(self) -> None:
        """Do what the last line of the log says and a kill came in between: give a complete artifact its name, or take
        away one that was to go."""
        last = next(reversed(self.ledger.entries), None)
        if last is None or last.event not in ("made", "removed"):
            return
        kind, _, rest = str(last.facts["artifact"]).partition("/")
        name, _, version = rest.partition("@")
        path = self.root / "artifacts" / kind / name / f"v{version}"
        if last.event == "removed" and path.exists():
            self._finish_removing(path)
        if last.event == "made" and not path.exists():
            for draft in path.parent.glob(".draft-*"):
                if _content_id(draft) == last.facts["content"]:
                    os.rename(draft, path)
                    sync_directory(path.parent)
                    return


def _lock(file: IO[str], tries: int = 10) -> None:
    """The exclusive lock. Who only looks (`at_work`) holds the file for an instant, which is waited out.

    Raises:
        BlockingIOError: if somebody works here.
    """
    for left in reversed(range(tries)):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(0.01)


def _content_id(draft: Path) -> str:
    """Of what a killed process left, "" where it had not come to the manifest."""
    try:
        return Manifest.read(draft).content_id
    except ArtifactError:
        return ""


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ArtifactError(f"{name!r} cannot be an artifact's name; wanted letters, digits, '.', '_' or '-', at most 100.")


def sync_tree(directory: Path) -> None:
    """Have the disk hold every file below `directory` before anything says that it does."""
    for root, _, names in os.walk(directory):
        for name in names:
            with open(Path(root, name), "rb") as file:
                os.fsync(file.fileno())
        sync_directory(Path(root))


def sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
