"""Campaigns that begin with models: samples are drawn by `tutelage sample` in a process of its own, then the campaign opens.

    DIR/drawings/ID/drawing.json    what was asked, and how far it has come
    DIR/drawings/ID/prompts.jsonl   the prompts, where they were typed
    DIR/drawings/ID/N.log, N.out    what the sampling of the N-th model said, and its result

No model is ever loaded by the server. The process outlives it: a server that is started again waits for the one at work
and asks the same once more, which costs nothing where it was done (a stage asked the same twice gives what it made).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from tutelage import disk
from tutelage.errors import DataError, TutelageError
from tutelage.messages import record_id
from tutelage.project import Project
from tutelage.store import Store
from tutelage.studio import items, new_campaign
from tutelage.studio.new_campaign import Draft

State = Literal["waiting", "drawing", "done", "failed", "stopped"]
ROWS_AT_ONCE = 64          # responses between two signs of progress; as many as are decoded at the same time
LOOK_S = 1.0               # how often one looks whether the project is free


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Samples on their way to a campaign. `message` says why it failed, in the words of the stage."""

    id: str
    lead: str
    begun_at: float
    draft: Mapping[str, Any]                     # `Draft` as JSON
    commands: tuple[tuple[str, ...], ...]        # words of `tutelage sample`, one set a model
    samples: tuple[str, ...] = ()                # artifacts made so far, by model
    state: State = "waiting"
    message: str = ""
    campaign: str = ""
    process: tuple[int, float] | None = None     # its id, and when it began: ids are used again

    @property
    def name(self) -> str:
        return str(self.draft["name"])

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "stopped")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Drawing:
        lists: dict[str, Any] = {"commands": tuple(map(tuple, value["commands"])), "samples": tuple(value["samples"]),
                                 "process": value["process"] and tuple(value["process"])}
        return cls(**{**value, **lists})


class Drawings:
    """All of a project, one at work at a time. Safe to share between threads."""

    def __init__(self, project: Project, store: Store) -> None:
        self.project, self.store = project, store
        self.folder = project.root / "drawings"
        self._turn, self._books = threading.Lock(), threading.Lock()
        self._stopped: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}

    def begin(self, draft: Draft, lead: str, now: float) -> Drawing:
        """Draw what `draft` asks for, and open its campaign then.

        Raises:
            DataError, ConfigError, ArtifactError, StoreError: if a field makes no sense. Nothing is begun.
        """
        new_campaign.check(self.store, draft)
        new_campaign.check_drawing(draft)
        if draft.prompts:
            items.check_offered(self.project, draft.prompts)
        if unknown := sorted(set(draft.models) - set(items.models(self.project))):
            raise DataError(f"{unknown[0]!r} is no model of this project.")
        id = record_id("drawing", draft.name, now)
        prompts = draft.prompts or str(self._write_prompts(id, draft))
        words = tuple(tuple(_words(draft, model, prompts, number)) for number, model in enumerate(draft.models))
        drawing = Drawing(id=id, lead=lead, begun_at=now, draft=asdict(draft), commands=words)
        self._keep(drawing)
        self._start(drawing)
        return drawing

    def get(self, id: str) -> Drawing:
        """Raises DataError if there is none, or its file is damaged."""
        path = self.folder / (id if id.isalnum() else "-") / "drawing.json"
        try:
            return Drawing.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"there is no drawing {id!r}.") from None

    def all(self) -> list[Drawing]:
        """Those whose campaign is not open yet, the newest first."""
        found = []
        for path in self.folder.glob("*/drawing.json"):
            try:
                found.append(self.get(path.parent.name))
            except DataError:
                continue
        return sorted((each for each in found if each.state != "done"), key=lambda each: -each.begun_at)

    def go_on(self) -> None:
        """Take up what was not over when the server before this one ended."""
        for drawing in self.all():
            if not drawing.is_over:
                self._start(drawing)

    def again(self, id: str) -> Drawing:
        """Ask the same once more; what was drawn is not drawn again."""
        drawing = self.get(id)
        if drawing.is_over and drawing.state != "done":
            drawing = replace(drawing, state="waiting", message="")
            self._keep(drawing)
            self._start(drawing)
        return drawing

    def stop(self, id: str) -> None:
        """Have the process end; it keeps what it has drawn for another time."""
        drawing = self.get(id)
        self._stopped.add(id)
        if drawing.process is not None and _lives(drawing.process):
            os.kill(drawing.process[0], signal.SIGTERM)

    def wait(self, id: str) -> None:
        """Until nothing is being done for it here."""
        if (thread := self._threads.get(id)) is not None:
            thread.join()

    def _start(self, drawing: Drawing) -> None:
        with self._books:
            before = self._threads.get(drawing.id)
            if before is None or not before.is_alive():
                self._stopped.discard(drawing.id)
                thread = threading.Thread(target=self._work, args=(drawing,), daemon=True)
                self._threads[drawing.id] = thread
                thread.start()

    def _work(self, drawing: Drawing) -> None:
        try:
            with self._turn:
                for number in range(len(drawing.samples), len(drawing.commands)):
                    drawing = self._draw(drawing, number)
            draft = Draft.from_json(drawing.draft)
            made = new_campaign.create(self.store, self.project, replace(draft, sources=drawing.samples, typed=""),
                                       drawing.lead, time.time())
            self._keep(replace(drawing, state="done", campaign=made.id, process=None))
        except _Stopped:
            self._keep(replace(drawing, state="stopped", process=None))
        except TutelageError as error:
            self._keep(replace(drawing, state="failed", message=str(error), process=None))
        except Exception as error:               # a bug of ours must not leave the lead before a bar that never moves
            self._keep(replace(drawing, state="failed", message=f"{type(error).__name__}: {error}", process=None))
            raise

    def _draw(self, drawing: Drawing, number: int) -> Drawing:
        self._until_free(drawing)
        folder = self.folder / drawing.id
        words = [sys.executable, "-m", "tutelage.cli", *drawing.commands[number], "--project", str(self.project.root), "--json"]
        with open(folder / f"{number}.out", "wb") as out, open(folder / f"{number}.log", "wb") as log:
            # A session of its own: what stops the server from a terminal does not stop it.
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)
        drawing = replace(drawing, state="drawing", process=(process.pid, _born(process.pid)))
        self._keep(drawing)
        if drawing.id in self._stopped:
            process.terminate()
        code = process.wait()
        if drawing.id in self._stopped:
            raise _Stopped
        if code != 0:
            raise _why(folder / f"{number}.log", code)
        made = json.loads((folder / f"{number}.out").read_text(encoding="utf-8").splitlines()[-1])["artifact"]
        drawing = replace(drawing, samples=(*drawing.samples, made), process=None)
        self._keep(drawing)
        return drawing

    def _until_free(self, drawing: Drawing) -> None:
        """Wait for a process of this drawing that a server before this one began, and for others' commands."""
        while (drawing.process is not None and _lives(drawing.process)) or self.project.at_work() is not None:
            if drawing.id in self._stopped:
                raise _Stopped
            time.sleep(LOOK_S)

    def _write_prompts(self, id: str, draft: Draft) -> Path:
        path = self.folder / id / "prompts.jsonl"
        rows = [{"id": prompt.id, "prompt": prompt.messages[0].text, "kind": prompt.kind} for prompt in items.typed(draft.typed)]
        with disk.writing(path, "nothing was begun"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    def _keep(self, drawing: Drawing) -> None:
        path = self.folder / drawing.id / "drawing.json"
        with disk.writing(path, "what was drawn stands"):
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = path.with_suffix(".draft")
            whole.write_text(json.dumps(asdict(drawing), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            os.replace(whole, path)


class _Stopped(Exception):
    """Somebody pressed Stop."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the drawing is. `total` is None while nobody knows yet."""

    model: int                 # number of the model, from 1
    num_models: int
    done: int                  # signs of progress of this model's sampling, and how many there will be
    total: int | None


def progress(project: Project, drawing: Drawing) -> Progress:
    """Read from the run that the process writes."""
    number = min(len(drawing.samples), len(drawing.commands) - 1)
    name = drawing.commands[number][drawing.commands[number].index("--name") + 1]
    done, total = 0, None
    runs = sorted(project.runs.glob(f"sample-{name}-*/run.json"), key=lambda path: path.stat().st_mtime)
    if runs and drawing.state == "drawing" and runs[-1].stat().st_mtime >= drawing.begun_at:
        try:
            total = json.loads(runs[-1].read_text(encoding="utf-8")).get("steps")
            done = len((runs[-1].parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):        # it is just being begun
            pass
    return Progress(number + 1, len(drawing.commands), done, total)


def _words(draft: Draft, model: str, prompts: str, number: int) -> list[str]:
    """The command that draws from one model, each with a seed of its own: by one seed, models that are much alike say much
    the same, and there is nothing to compare. The artifact's name is made of the campaign's, which may be in any script."""
    chunk = max(1, ROWS_AT_ONCE // int(draft.draws))
    limit = ["--limit", draft.limit] if draft.limit else []
    return ["sample", "--model", model, "--prompts", prompts, "--name", f"campaign-{record_id(draft.name)[:8]}-{number + 1}",
            "--per-prompt", draft.draws, "--max-new-tokens", draft.tokens, "--temperature", draft.temperature, *limit,
            "--chunk-prompts", str(chunk), "--seed", str(int(draft.seed) + number)]


def _born(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _lives(process: tuple[int, float]) -> bool:
    try:
        found = psutil.Process(process[0])
        return bool(found.create_time() == process[1] and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _why(log: Path, code: int) -> DataError:
    """What the command said last, without the word it begins with; or how it ended."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return DataError(errors[-1])
    if code < 0:
        return DataError(f"the sampling was ended from outside (signal {-code}). Often memory has run out: draw fewer responses, "
                         "or shorter ones.")
    return DataError(f"the sampling ended with code {code}. It said last: {lines[-1] if lines else 'nothing'}.")
