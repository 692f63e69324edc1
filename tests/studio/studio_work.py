"""A campaign to try things on: prompts with two responses each, of two models."""

from __future__ import annotations

import time
from typing import Any

from tutelage.messages import Message, messages_to_json, record_id
from tutelage.records import Prompt, Sample
from tutelage.store import Store
from tutelage.store.questions import Campaign, NewItem, Terms


def prompt_of(text: str) -> Prompt:
    messages = (Message.of("user", text),)
    return Prompt(id=record_id("prompt", messages_to_json(messages)), messages=messages)


def sample_of(prompt: Prompt, text: str, policy: str) -> Sample:
    return Sample(id=record_id("sample", prompt.id, text, policy), prompt=prompt, prompt_ids=(1,), response_ids=(2,),
                  logprobs=(-0.5,), response_mask=(True,), text=text, ended=True, policy=policy)


def campaign(store: Store, name: str = "pairs", kind: str = "comparison", num: int = 4, num_samples: int = 2,
             **terms: Any) -> Campaign:
    made = store.campaigns.create(name, kind, Terms(**terms), None, time.time())
    new = []
    for i in range(num):
        prompt = prompt_of(f"Question {i} of {name}?")
        drawn = [sample_of(prompt, f"Answer {chr(97 + k)} to {i}.", f"model/m{k}@1") for k in range(num_samples)]
        store.add_samples(drawn)
        new.append(NewItem(prompt=prompt, samples=tuple(sample.id for sample in drawn)))
    store.campaigns.add_items(made.id, new)
    return made


def entry(task: str, key: str, answer: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"op": "answer", "task": task, "key": key.rjust(16, "0"), "answer": answer or {"winner": "a", "strength": 2}, **more}
