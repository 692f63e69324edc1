"""What a disk refuses, in words: full, read-only, not ours to write, too large a file."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.errors import DiskError, TutelageError

_WORDS = {
    errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "the file is larger than allowed",
    errno.EROFS: "the file system is read-only", errno.EACCES: "there is no right to write there",
    errno.EPERM: "writing there is not permitted", errno.EIO: "the disk reports an input/output error",
    errno.ENODEV: "the disk is gone", errno.ESTALE: "the network disk is gone",
}
_CODE = re.compile(r"os error (\d+)")      # how libraries written in Rust tell the number


@contextmanager
def writing(path: Path, stands: str) -> Iterator[None]:
    """Turn what the disk refuses inside the block into a `DiskError` that names `path`; other errors pass.

    Args:
        stands: what is still whole, for the message, such as "the checkpoint of step 12 stands".
    """
    try:
        yield
    except TutelageError:
        raise
    except Exception as error:
        number = error_number(error)
        if number not in _WORDS:
            raise
        raise DiskError(f"{path} could not be written: {_WORDS[number]}{_free(path, number)}. {stands[:1].upper()}{stands[1:]}. "
                        "Mend that and give the same command again.") from error


def error_number(error: BaseException | None) -> int | None:
    """The operating system's number behind an error, also where a library has wrapped it; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if found := _CODE.search(str(error)):
            return int(found.group(1))
        error = error.__cause__
    return None


def free_bytes(path: Path) -> int:
    """What may still be written where `path` is, or will be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _free(path: Path, number: int) -> str:
    if number != errno.ENOSPC:
        return ""
    try:
        return f", {free_bytes(path) / 1e6:,.0f} MB free"
    except OSError:
        return ""
