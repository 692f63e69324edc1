"""What is measured in a run, as a page names it: title, unit, what it tells; which belong together; what is drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.web.i18n import N_

SCORE, KL = "objective/score", "objective/kl"
STEP = N_("step")
_NATS, _TOKENS, _SHARE, _REWARD, _SECONDS = N_("nats"), N_("tokens"), N_("share, 0 to 1"), N_("reward units"), N_("seconds")
_PLAIN, _COUNT = N_("no unit"), N_("count")
_TOKEN_NATS, _PAIR_NATS = N_("nats a token"), N_("nats a pair")


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric. `title` and `unit` are in the catalogue; an unknown metric goes by its own name."""

    name: str
    title: str
    unit: str
    section: str


# (pattern of the name, title, unit, section), the first that fits; the order is the order on the page.
_KNOWN: Sequence[tuple[str, str, str, str]] = (
    (r"objective/score", N_("Score of the responses"), _REWARD, "reward"),
    (r"objective/score_std", N_("Spread of the scores (standard deviation)"), _REWARD, "reward"),
    (r"reward/.+", N_("Parts of the reward"), _REWARD, "reward"),
    (r"objective/kl", N_("KL to the reference, a response"), _NATS, "distance"),
    (r"objective/kl_coef", N_("KL coefficient"), N_("reward units a nat"), "distance"),
    (r"objective/ent_coef", N_("Entropy coefficient"), _PLAIN, "distance"),
    (r"objective/entropy", N_("Entropy of the policy"), _TOKEN_NATS, "distance"),
    (r"rollout/length", N_("Length of the responses"), _TOKENS, "responses"),
    (r"rollout/ended_fraction", N_("Responses that end by themselves"), _SHARE, "responses"),
    (r"rollout/engine_mismatch.*", N_("Log-probability, engine against trainer"), _TOKEN_NATS, "responses"),
    (r"rollout/importance_truncated_fraction", N_("Importance weights that were cut off"), _SHARE, "responses"),
    (r"rollout/importance_mean", N_("Importance weight, mean"), _PLAIN, "responses"),
    (r"guard/(heldout_reward|gap|health)", N_("Guard: held-out reward"), _REWARD, "guard"),
    (r"guard/repetition", N_("Guard: repeated passages"), _SHARE, "guard"),
    (r"guard/(crossed|rollbacks)", N_("Guard: limits crossed, steps taken back"), _COUNT, "guard"),
    (r"train/clip_fraction", N_("Ratios that were clipped"), _SHARE, "updates"),
    (r"train/ratio.*", N_("Ratio of new to old probability"), _PLAIN, "updates"),
    (r"train/approx_kl", N_("KL of an update, estimated"), _TOKEN_NATS, "updates"),
    (r"train/explained_variance", N_("Explained variance of the critic"), N_("share, at most 1"), "updates"),
    (r"eval/loss", N_("Loss on held-out rows"), _PLAIN, "loss"),
    (r"loss", N_("Loss"), _PLAIN, "loss"),
    (r"train/loss", N_("Loss"), _PLAIN, "updates"),
    (r"(eval/)?nll", N_("Negative log-likelihood"), _TOKEN_NATS, "loss"),
    (r"pairs", N_("Loss of the pairs"), _PAIR_NATS, "loss"),
    (r"(eval/|train/)?(accuracy|f1|precision|recall)", N_("Held right"), _SHARE, "loss"),
    (r"(eval/)?margin", N_("Margin of chosen over rejected"), _REWARD, "loss"),
    (r"(eval/)?(chosen|rejected)_logprob", N_("Log-probability of the responses"), _NATS, "loss"),
    (r"(eval/)?perplexity", N_("Perplexity"), _PLAIN, "loss"),
    (r"train/(policy|value|entropy|kl|ptx)_loss", N_("Terms of the loss"), _PLAIN, "updates"),
    (r"train/value_squared_error", N_("Squared error of the critic"), N_("reward units, squared"), "updates"),
    (r"(train/)?grad_norm", N_("Norm of the gradient, before clipping"), _PLAIN, "updates"),
    (r"(train/)?lr", N_("Learning rate"), _PLAIN, "updates"),
    (r"(train/)?tokens", N_("Tokens learned from, a step"), _TOKENS, "speed"),
    (r"speed/tokens_per_s", N_("Learning speed"), N_("tokens a second"), "speed"),
    (r"speed/sampled_tokens_per_s", N_("Sampling speed"), N_("tokens a second"), "speed"),
    (r"speed/ceiling_share", N_("Share of what the processor can multiply"), _SHARE, "speed"),
    (r"time/step_s", N_("Time of a step"), _SECONDS, "speed"),
    (r"time/.+_s", N_("Time by phase"), _SECONDS, "speed"),
    (r"memory/.+_gb", N_("Memory of the process"), N_("GB"), "speed"),
    (r"samples|correct|decided|number|.+_count", "", _COUNT, "other"),
    (r"length", N_("Length of the responses"), _TOKENS, "responses"),
    (r"ended_fraction", N_("Responses that end by themselves"), _SHARE, "responses"),
)
SECTIONS: Mapping[str, str] = {
    "reward": N_("Reward"), "distance": N_("How far it has gone"), "loss": N_("Learning"), "responses": N_("Responses"),
    "updates": N_("Updates"), "guard": N_("Guard"), "speed": N_("Speed and memory"), "other": N_("Everything else")}
# Drawn together where one run is shown: they are parts or percentiles of one thing.
_TOGETHER = (r"reward/.+", r"train/ratio.*", r"train/(policy|value|entropy|kl|ptx)_loss", r"(eval/)?(chosen|rejected)_logprob",
             r"rollout/engine_mismatch.*", r"guard/(heldout_reward|gap|health)", r"guard/(crossed|rollbacks)",
             r"time/(?!step_s).+_s", r"memory/.+_gb")
_NOT_DRAWN = re.compile(r"step|work/.+")


def measure(name: str) -> Measure:
    for pattern, title, unit, section in _KNOWN:
        if re.fullmatch(pattern, name):
            return Measure(name, title or name, unit, section)
    return Measure(name, name, _PLAIN, "other")


def _place(name: str) -> int:
    return next((at for at, known in enumerate(_KNOWN) if re.fullmatch(known[0], name)), len(_KNOWN))


def sections(names: Iterable[str], runs: Sequence[str], say: Callable[[str], str]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(title, its charts) for what is drawn of `names` in these runs; `say` translates.

    A chart is what the script draws: title, units of both axes, and its lines, each one metric of one run. With several
    runs a metric has a chart of its own, and a line a run.
    """
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in SECTIONS}
    for group in _groups(sorted((name for name in names if not _NOT_DRAWN.fullmatch(name)), key=_place), len(runs) > 1):
        first = measure(group[0])
        title = say(first.title)
        if len(runs) > 1 and _together(group[0]) is not None:
            title = say(N_("%(title)s: %(part)s")) % {"title": title, "part": _short(group[0])}
        lines = [{"run": at, "name": name, "label": _short(name) if len(group) > 1 else run if len(runs) > 1 else ""}
                 for at, run in enumerate(runs) for name in group]
        found[first.section].append({"title": title, "unit": say(first.unit), "x": say(STEP), "lines": lines})
    if {SCORE, KL} <= set(names):
        found["distance"].append(_frontier(runs, say))
    return [(say(SECTIONS[key]), charts) for key, charts in found.items() if charts]


def _frontier(runs: Sequence[str], say: Callable[[str], str]) -> dict[str, Any]:
    """What reward was had at which distance: a point a step."""
    lines = [{"run": at, "name": SCORE, "over": KL, "label": run if len(runs) > 1 else ""} for at, run in enumerate(runs)]
    return {"title": say(N_("Reward against KL, a point a step")), "unit": say(_REWARD), "x": say(_NATS), "lines": lines}


def _groups(names: Sequence[str], apart: bool) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name if apart else _together(name) or name, []).append(name)
    return list(groups.values())


def _together(name: str) -> str | None:
    return next((pattern for pattern in _TOGETHER if re.fullmatch(pattern, name)), None)


def _short(name: str) -> str:
    return name.partition("/")[2] or name
