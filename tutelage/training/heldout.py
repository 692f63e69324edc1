"""Rows kept out of training and looked at between steps: how the policy does on them, when to stop, which weights were best.

Looking changes no number of the training: it draws nothing, and the order of rows is a function of their lengths alone.
What it found so far is part of a checkpoint, so a run that goes on ends where it would have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tutelage.console import console
from tutelage.data.loader import Schedule
from tutelage.data.splits import held_out
from tutelage.errors import DataError
from tutelage.models.policy import Policy
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.directory import Run
from tutelage.runs.metrics import Best
from tutelage.training.lanes import Lanes
from tutelage.training.loop import measure
from tutelage.training.optimizer import Masters

if TYPE_CHECKING:
    from tutelage.training.fit import Settings, Task

LOSS = "eval/loss"


class HeldOut:
    """Looks at the rows of `task` every `every` steps (0: at the end of each epoch) and after the last.

    With `patience`, training ends after so many looks in a row that found nothing better, and the best weights are restored.
    """

    def __init__(self, task: Task, config: Settings, *, every: int = 0, patience: int = 0) -> None:
        self.task, self.every, self.patience = task, every, patience
        self.schedule = Schedule(task.lengths, config.seed, 1, config.batch_tokens, config.micro_tokens)
        self.best = Best(LOSS, higher=False, at_once=True) if patience else None
        self.best_loss, self.best_step, self.looks_since, self.last_loss = float("inf"), 0, 0, float("nan")

    def remember(self, policy: Policy, run: Run) -> None:
        """Keep what the loss needs of the policy as it is before the first step."""
        self.task.remember(Lanes(policy), self.schedule, run)

    def measure(self, policy: Policy) -> dict[str, float]:
        """The metrics of all rows together."""
        parts = [rows for step in range(len(self.schedule)) for rows in self.schedule.micro(step)]
        metrics = measure(policy, self.task.batches(Lanes(policy), parts), self.task)
        return {**metrics, **self.task.rates(metrics)}

    def look(self, policy: Policy, made: int, training: Schedule) -> dict[str, float]:
        """What the policy does after `made` steps of `training`, by `eval/…`; nothing where no look is due."""
        due = made == len(training) or (made % self.every == 0 if self.every else made in training.epoch_ends)
        if not due:
            return {}
        found = self.measure(policy)
        self.last_loss = found["loss"]
        if self.last_loss < self.best_loss:
            self.best_loss, self.best_step, self.looks_since = self.last_loss, made, 0
        else:
            self.looks_since += 1
        return {f"eval/{name}": value for name, value in found.items()}

    def ended(self) -> bool:
        return 0 < self.patience <= self.looks_since

    def restore(self, masters: Masters, run: Run) -> None:
        """Leave the policy with its best weights, where there is patience; else with the last.

        Raises:
            ResumeError: if the checkpoint that holds them is damaged.
        """
        if self.best is None or self.best_step == masters.steps_done:
            return
        step, state = DirectoryCheckpoints(run.checkpoints, best=self.best).best_state()
        assert step == self.best_step, f"the best checkpoint holds {step} steps, and {self.best_step} were the best"
        console.print(f"{self.task.label}: ends after step {masters.steps_done}; the held-out loss was best after step {step}, "
                      f"{self.best_loss:.4g} against {self.last_loss:.4g}, and its weights are restored")
        masters.load_state(state["masters"])

    def facts(self) -> dict[str, Any]:
        """For a manifest: of the weights that are saved."""
        saved = (self.best_step, self.best_loss) if self.patience else (None, self.last_loss)
        return {"heldout_rows": len(self.task.lengths), "heldout_loss": saved[1],
                **({"best_step": saved[0]} if self.patience else {})}

    def state(self) -> dict[str, Any]:
        return {"best_loss": self.best_loss, "best_step": self.best_step, "looks_since": self.looks_since,
                "last_loss": self.last_loss}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.best_loss, self.last_loss = float(state["best_loss"]), float(state["last_loss"])
        self.best_step, self.looks_since = int(state["best_step"]), int(state["looks_since"])


def kept_out(prompts: Sequence[str], fraction: float, seed: int) -> set[int]:
    """Places of the rows that are kept out: whole clusters of prompts that are nearly the same, about `fraction` of them.

    Raises:
        DataError: if something was to be kept out and all prompts are nearly the same.
    """
    chosen = held_out(prompts, fraction, seed)
    if fraction > 0 and not chosen:
        raise DataError(f"nothing can be kept out of {len(prompts)} rows whose prompts are all nearly the same, and "
                        f"heldout_fraction is {fraction}. Set it to 0, or bring other rows.")
    return {place for place, prompt in enumerate(prompts) if prompt in chosen}
