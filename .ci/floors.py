"""Print the oldest versions `pyproject.toml` allows, one requirement a line: what `make floors` installs.

    python .ci/floors.py TORCH_VERSION

torch's version is given, for its floor need not have a build for this machine.
"""

import re
import sys
import tomllib
from pathlib import Path

# Wants newer libraries than our floors; `make floors` leaves out tests/parity, which alone needs it.
LEFT_OUT = ("trl",)


def floors(pyproject: dict, torch: str) -> list[str]:
    project = pyproject["project"]
    lines = []
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        match = re.fullmatch(r"([A-Za-z0-9._-]+(?:\[[a-z]+\])?)>=([0-9.]+)", requirement)
        if match is None:
            raise SystemExit(f"{requirement!r} has no floor; wanted NAME>=VERSION.")
        name, version = match.groups()
        if name not in LEFT_OUT:
            lines.append(f"{name}=={torch if name == 'torch' else version}")
    return lines


if __name__ == "__main__":
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    print("\n".join(floors(tomllib.loads(pyproject.read_text(encoding="utf-8")), sys.argv[1])))
