"""A studio as its users have it: a process of its own over a project with samples, and what a browser is started with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tutelage.lineage import Manifest
from tutelage.messages import Message, messages_to_json, record_id
from tutelage.project import Project
from tutelage.records import Prompt, Sample

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--no-first-run",
                 "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
START_S = 900.0            # a machine that is busy with other things: what matters is that the process lives and comes
PASSWORD = "correct horse battery"


def prompt_of(text: str) -> Prompt:
    messages = (Message.of("user", text),)
    return Prompt(id=record_id("prompt", messages_to_json(messages)), messages=messages)


def sample_of(prompt: Prompt, text: str, policy: str) -> Sample:
    return Sample(id=record_id("sample", prompt.id, text, policy), prompt=prompt, prompt_ids=(1,), response_ids=(2,),
                  logprobs=(-0.5,), response_mask=(True,), text=text, ended=True, policy=policy)


def write_samples(project: Project, name: str, rows: Sequence[tuple[str, Sequence[str]]], policy: str = "model/m@1") -> None:
    """A samples artifact: (prompt, its responses) a row."""
    manifest = Manifest(kind="samples", name=name, stage="sample")
    with project.writing(manifest) as directory, open(directory / "samples.jsonl", "w", encoding="utf-8") as file:
        for asked, responses in rows:
            for text in responses:
                sample = sample_of(prompt_of(asked), text, policy)
                file.write(json.dumps(sample.to_json(), ensure_ascii=False) + "\n")


class StudioProcess:
    """`tutelage studio` over a project; killed and started again as often as a test likes."""

    def __init__(self, project: Project, *options: str, port: int = 0) -> None:
        self.project, self.options, self.port = project, options, port
        self.process: subprocess.Popen[bytes] | None = None
        self.log = project.root / "studio.log"
        self.setup_path = ""

    def start(self) -> None:
        words = [sys.executable, "-m", "tutelage.cli", "studio", "--project", str(self.project.root), "--port", str(self.port),
                 *self.options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        begun = time.monotonic()
        while True:
            said = self.log.read_text(encoding="utf-8")
            if (at := re.search(r"is at \S+:(\d+)", said)) and self._answers(int(at[1])):
                break
            assert self.process.poll() is None and time.monotonic() - begun < START_S, f"the studio did not start:\n{said}"
            time.sleep(0.05)
        self.port = int(at[1])
        if link := re.search(r"^http\S+(/set-up/\S+)$", self.log.read_text(encoding="utf-8"), re.MULTILINE):
            self.setup_path = link[1]

    @staticmethod
    def _answers(port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/sign-in", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """As a power cut would: no chance to finish anything."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
