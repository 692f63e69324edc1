"""Small projects to begin with: data written for them, settings, a grader, and the commands in a README.

`tutelage init DIR --example NAME` lays one down. Each is a lesson a small model can learn in minutes, with questions that were
kept out of it; the figures it comes to are in docs/examples.md.
"""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from tutelage import disk
from tutelage.errors import ProjectError, UsageError

# name -> what is learned
EXAMPLES = {
    "chat": "answer in a shop's own short, friendly style",
    "translate": "translate simple English sentences into Chinese",
    "summarise": "put a notice into one sentence",
    "code": "write small Python functions that pass their unit tests",
    "story": "tell a story of three sentences with given words",
    "qa": "answer questions about a text from the text",
    "sentiment": "tell praise from complaint in English and Chinese",
}


def lay_down(name: str, directory: Path) -> Path:
    """Make `directory` the project of an example, whole or not at all.

    Raises:
        UsageError: if there is no such example.
        ProjectError: if something is in the directory already.
    """
    if name not in EXAMPLES:
        raise UsageError(f"there is no example {name!r}; there are: {', '.join(EXAMPLES)}.")
    if directory.is_symlink() or directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ProjectError(f"{directory} is not empty, and an example would write over what is there. Name a new directory: "
                           f"tutelage init {name} --example {name}")
    directory = directory.resolve()
    draft = directory.with_name(f".{directory.name}.part")
    with disk.writing(directory, "nothing was changed"):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            for file in sorted((Path(str(resources.files("tutelage.examples"))) / name).iterdir()):
                shutil.copyfile(file, draft / file.name)
            os.replace(draft, directory)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return directory
