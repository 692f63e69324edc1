"""Metrics as TensorBoard events, beside the JSON lines: `tutelage sft --tensorboard`, then `tensorboard --logdir runs`.

They are written where asked, and where a run that goes on has some already. Nothing here reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from tutelage import disk

FOLDER = "tensorboard"
_asked: ContextVar[bool] = ContextVar("tensorboard", default=False)


@contextmanager
def asked_for(wanted: bool = True) -> Iterator[None]:
    """Inside it, runs write events."""
    token = _asked.set(wanted)
    try:
        yield
    finally:
        _asked.reset(token)


def wanted(run: Path) -> bool:
    return _asked.get() or (run / FOLDER).is_dir()


class TensorBoard:
    """A tracker. What an interrupted run wrote from `first_step` on is marked as taken back, so that no step is shown twice."""

    def __init__(self, run: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes a second and few runs ask for it

        self._path = run / FOLDER
        with disk.writing(self._path, "the last checkpoint stands"):
            self._writer = SummaryWriter(str(self._path), purge_step=first_step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        with disk.writing(self._path, "the last checkpoint stands"):
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()      # else a kill would lose steps that a checkpoint holds

    def close(self) -> None:
        with disk.writing(self._path, "the last checkpoint stands"):
            self._writer.close()
