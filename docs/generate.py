"""Write the pages that come from the code: `make docs`. A test holds the committed pages to what this gives.

With the directory of the demo's report (`demo/artifacts/report/demo/v1`) it writes `demo.md` out of that instead.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import sys
from pathlib import Path

import tutelage
from tutelage.config import describe
from tutelage.evaluation.stage import table_rows

PAGES = Path(__file__).parent

_HEAD = """# Configuration

Written from the code by `make docs`; do not edit.

A command's keys come from three places, each over the one before: the defaults below, a `CONFIG.toml` named on the
command line, and options such as `--optimizer.lr 1e-5` (`-` and `_` mean the same; a switch is `--rs` or `--no-rs`).
In TOML a dot is a table: `optimizer.lr` is `lr` under `[optimizer]`. An unknown key or a wrong type is an error that
names the nearest key. `tutelage COMMAND --help` prints the same.
"""


def config_types() -> list[type]:
    """Every configuration dataclass of every `<room>/config.py`, by room, in the order of the file."""
    found: list[type] = []
    for path in sorted(Path(tutelage.__file__).parent.glob("*/config.py")):
        module = importlib.import_module(f"tutelage.{path.parent.name}.config")
        own = [each for each in vars(module).values() if inspect.isclass(each) and dataclasses.is_dataclass(each)
               and each.__module__ == module.__name__]
        found += sorted(own, key=lambda each: inspect.getsourcelines(each)[1])
    return found


def configuration_page() -> str:
    parts = [_HEAD]
    for config_type in config_types():
        room = config_type.__module__.split(".")[1]
        parts.append(f"## {room}.{config_type.__name__}\n\n{inspect.cleandoc(config_type.__doc__ or '')}\n\n"
                     f"{describe(config_type)}\n")
    return "\n".join(parts)


_DEMO = """# The demo

`make demo` (or `tutelage demo --project demo`) takes SmolLM2-135M through the whole loop on the built-in data, on two cores:

| stage | what it does |
|---|---|
| import | 289 instructions (a tenth kept out), 224 prompts for RL, 112 prompts held out; each prompt has key facts |
| SFT | one light pass over the instructions, all weights, fp32 masters |
| sample | four answers to each of 128 prompts, at temperature 0.7 |
| judge | five scripted annotators compare all pairs: the scripted truth ([feedback.md](feedback.md)) with noise and bias |
| reward model | the first 18 of 30 blocks of the SFT model and a new head, one pass over the comparisons |
| PPO | 14 rollouts of 48 answers; critic on the shared trunk, KL to the SFT model |
| evaluate | the 112 held-out prompts at temperature 0.3: base, SFT, best of four SFT answers by the reward model, RLHF |

SFT is kept short on purpose, as feedback is what this demo is about: the model has seen the voice of the answers and does
not yet keep it up. Nothing that trains sees the truth, the held-out prompts or any prompt's key facts.

## Figures of one run

{table}

Truth and its parts are from 0 to 1, means over prompts; `95 %` is the truth's interval (bootstrap over prompts); reward is in
standard deviations of the reward model; KL in nats a response. {pairs}

{circumstances}

## Three seeds

`tutelage demo --seed N --project P`, a project each: other held-out instructions, samples, judges' noise and rollouts. One
thread, as of 22 November 2026 and before reward models kept out whole clusters of prompts, which the run above does; the truth
on the 112 held-out prompts.

| seed | base | SFT | SFT, best of 4 | RLHF | RLHF less SFT, 95 % | wins | content, SFT → RLHF | KL | RLHF less best of 4 |
|---|---|---|---|---|---|---|---|---|---|
| 0 | 0.228 | 0.428 | 0.544 | 0.485 | +0.057 [+0.022, +0.090] | 57 % | 0.299 → 0.324 | 1.81 | -0.059, worse |
| 1 | 0.244 | 0.413 | 0.507 | 0.489 | +0.076 [+0.042, +0.111] | 58 % | 0.284 → 0.332 | 1.78 | -0.018, tied |
| 2 | 0.247 | 0.429 | 0.548 | 0.544 | +0.115 [+0.081, +0.151] | 64 % | 0.305 → 0.387 | 1.55 | -0.004, tied |

Seed 1 was run once more and killed (`kill -9`) once in each of its five stages, at a random moment: all nine artifacts of
weights and samples are the same to the bit.

## The first 20 held-out prompts

In the data's order, the first sample of each, nothing selected. `[\u2026]` marks an answer that was cut off at the limit. A model
of 135M parameters knows little: read them for whether they are finished, on the question and in one voice, not for facts.

{samples}"""


def demo_page(report: Path) -> str:
    comparison = json.loads((report / "report.json").read_text(encoding="utf-8"))["comparison"]
    facts = json.loads((report / "manifest.json").read_text(encoding="utf-8"))["facts"]
    columns, rows = table_rows(comparison)
    table = "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))
    pairs = " ".join(f"{pair['first']} against {pair['second']}: {pair['truth']['estimate']['value']:+.3f} "
                     f"[{pair['truth']['estimate']['low']:+.3f}, {pair['truth']['estimate']['high']:+.3f}], wins "
                     f"{pair['win_rate']['value']:.0%} [{pair['win_rate']['low']:.0%}, {pair['win_rate']['high']:.0%}]."
                     for pair in comparison["pairs"])
    told = ("precision", "threads", "instruction_set", "torch", "transformers")
    circumstances = ", ".join(f"{name} {facts[name]}" for name in told)
    samples = (report / "samples.md").read_text(encoding="utf-8")
    return _DEMO.format(table=table, pairs=pairs, circumstances=f"({circumstances})", samples=samples)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        (PAGES / "demo.md").write_text(demo_page(Path(sys.argv[1])), encoding="utf-8")
    else:
        (PAGES / "configuration.md").write_text(configuration_page(), encoding="utf-8")
        print(f"docs/configuration.md: {len(config_types())} configurations")
