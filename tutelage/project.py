"""The project directory: its lock and its artifacts.

    DIR/tutelage.toml            marks the project; defaults for its commands
    DIR/feedback.db              the store
    DIR/artifacts/KIND/NAME/vK/  immutable outputs, each with its manifest
    DIR/runs/RUN/                executions: config, metrics, checkpoints
    DIR/.lock                    held while a command writes

An artifact is written in a directory beside its place and renamed when complete, so nobody ever sees half of one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tutelage.config import read_toml
from tutelage.errors import ArtifactError, ConfigError, LockedError, ProjectError
from tutelage.lineage import Manifest, changed_files, tree_hashes

MARKER = "tutelage.toml"
KINDS = ("dataset", "samples", "model", "reward", "report")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TEXT = "# A Tutelage project. Keys set here are the defaults of every command run inside it.\n"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An immutable output: `kind/name@version`, at `path`, described by `manifest`."""

    kind: str
    name: str
    version: int
    path: Path
    manifest: Manifest

    @property
    def ref(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"

    @property
    def parent_ref(self) -> str:
        """How a child's manifest names it: with its content, so that a swapped parent shows."""
        return f"{self.ref}#{self.manifest.content_id}"

    def verify(self) -> list[str]:
        return changed_files(self.path, self.manifest)


@dataclass(frozen=True, slots=True)
class Project:
    """A directory all commands work inside. Make one with `init`, find one with `open`."""

    root: Path
    store_url: str = ""                # of --store; "" leaves it to tutelage.toml

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

        Raises:
            ProjectError: if `directory` was named and is not a project.
        """
        if directory is not None:
            if not (directory / MARKER).is_file():
                raise ProjectError(f"{directory} is not a project: it has no {MARKER}. Make one: tutelage init {directory}")
            return cls(directory.resolve(), store_url)
        here = Path.cwd()
        for candidate in (here, *here.parents):
            if (candidate / MARKER).is_file():
                return cls(candidate, store_url)
        return replace(cls.init(here), store_url=store_url)

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

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writing command at a time; the kernel drops the lock when the process dies, however it dies."""
        with open(self.root / ".lock", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise LockedError(f"process {file.read().strip() or '?'} is at work in {self.root}. "
                                  "Wait until it is done, or use another --project.") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def artifacts(self, kind: str | None = None) -> list[Artifact]:
        """All artifacts that can be read, by kind, name and version; `damaged` names the others."""
        return [found for found in self._read(kind) if isinstance(found, Artifact)]

    def damaged(self) -> list[ArtifactError]:
        """Why each artifact that is left out of `artifacts` cannot be read."""
        return [found for found in self._read(None) if isinstance(found, ArtifactError)]

    def _read(self, kind: str | None) -> Iterator[Artifact | ArtifactError]:
        for each in KINDS if kind is None else (kind,):
            paths = [path for path in (self.root / "artifacts" / each).glob("*/v*") if path.name[1:].isdigit()]
            for path in sorted(paths, key=lambda path: (path.parent.name, int(path.name[1:]))):
                try:
                    yield Artifact(each, path.parent.name, int(path.name[1:]), path, Manifest.read(path))
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

    def made_from(self, key: str) -> Artifact | None:
        """The artifact that the stage with this `Manifest.key` has already made, if any."""
        return next((artifact for artifact in self.artifacts() if artifact.manifest.key == key), None)

    @contextmanager
    def writing(self, manifest: Manifest) -> Iterator[Path]:
        """A directory to write an artifact's files into; on leaving it becomes the next version, whole.

        The manifest's `files` are filled in here. After an exception nothing is left behind. Read the result with
        `made_from(manifest.key)` or `artifact(name)`.
        """
        assert manifest.kind in KINDS, f"an artifact of kind {manifest.kind!r} would never be found again"
        check_name(manifest.name)
        home = self.root / "artifacts" / manifest.kind / manifest.name
        home.mkdir(parents=True, exist_ok=True)
        draft = home / f".draft-{manifest.key[:12]}"
        shutil.rmtree(draft, ignore_errors=True)          # what a killed process left
        draft.mkdir()
        try:
            yield draft
            replace(manifest, files=tree_hashes(draft)).write(draft)
            version = 1 + max((int(path.name[1:]) for path in home.glob("v*") if path.name[1:].isdigit()), default=0)
            sync_tree(draft)
            os.rename(draft, home / f"v{version}")
            sync_directory(home)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


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
