"""The peer's side of `bench/likelihood.py`: lm-evaluation-harness's Hugging Face backend on the same items.

    python lm_eval_choices.py PLAN.json       prints {"seconds", "scores"} as its last line
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(asked: dict) -> dict:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(asked["threads"])
    model = HFLM(pretrained=asked["model"], dtype="float32", batch_size=asked["batch"], device="cpu")
    items = [json.loads(line) for line in Path(asked["items"]).read_text(encoding="utf-8").splitlines()]

    def score(rows: list[dict]) -> list[float]:
        requests = [Instance(request_type="loglikelihood", doc={}, arguments=(row["context"], choice), idx=i)
                    for row in rows for i, choice in enumerate(row["choices"])]
        return [logprob for logprob, _ in model.loglikelihood(requests, disable_tqdm=True)]

    score(items[:asked["warm"]])
    began = time.perf_counter()
    scores = score(items)
    return {"seconds": time.perf_counter() - began, "scores": scores}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
