"""Memory is taken from one heap, whatever the thread."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, threading
import {module}
held = []
workers = [threading.Thread(target=lambda: held.append([bytes(1000) for _ in range(1000)])) for _ in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
out = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, ctypes.c_void_p(out))
libc.fclose(ctypes.c_void_p(out))
"""


def heaps(module: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(module=module)], capture_output=True, text=True, check=True)
    return len(re.findall(r"<heap nr=", done.stdout))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_threads_share_one_heap() -> None:
    assert heaps("json") > 1      # what is told of here is there to begin with
    assert heaps("tutelage.models.load") == 1
