"""For people who bring their own loop: texts or token ids and scores in, an update of the policy out.

    trainer = tutelage.policy_trainer("smollm2-135m-q4", algorithm="ppo")
    responses = trainer.generate(prompts)                    # or from wherever they come
    metrics = trainer.step(prompts, responses, scores)
    trainer.save("my-model")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.errors import DataError
from tutelage.generation.engine import Engine
from tutelage.messages import Message, Messages, messages_id
from tutelage.models.builtin import cache_dir
from tutelage.models.config import Adapter
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.models.precision import choose_precision
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rl.config import RL
from tutelage.rl.presets import algorithm as preset
from tutelage.rl.trainer import PolicyTrainer
from tutelage.seeds import stream_seed
from tutelage.training.config import Optimizer
from tutelage.training.lanes import Lanes, lanes_here
from tutelage.training.optimizer import Masters
from tutelage.training.responses import render_to_end_of_turn

Asked = str | Messages | Prompt                  # one user turn, a conversation, or a record
Response = str | Sequence[int] | Sample          # a text, ids as they were sampled, or a sample of `generate`


class OwnLoop:
    """A policy with its reference, optimizer and template; `trainer` is the `PolicyTrainer` that stages use."""

    def __init__(self, trainer: PolicyTrainer, template: ChatTemplate, tokenizer: Any, max_new_tokens: int = 64) -> None:
        self.trainer, self.template, self.tokenizer, self.max_new_tokens = trainer, template, tokenizer, max_new_tokens
        self.engine = Engine(trainer.policy, template)

    @classmethod
    def of(cls, model: str, *, algorithm: str = "ppo", settings: Mapping[str, Any] | None = None,
           optimizer: Optimizer | None = None, updates: int = 1000, adapter: Adapter | None = None, temperature: float = 1.0,
           max_new_tokens: int = 64, micro_tokens: int = 2048, precision: str = "auto", seed: int = 0) -> OwnLoop:
        """
        Args:
            model: a built-in name, a directory or `hf:org/name`. settings: changes to the preset.
            optimizer: by default that of `rl.config.RL`.
            updates: optimizer steps, for a rate that falls.
        Raises:
            ModelError, ConfigError: if there is no such model, or no such algorithm.
        """
        composition, path = preset(algorithm, settings or {}), resolve(model).path
        kind = choose_precision(precision, cache_dir())
        policy = load_policy(path, kind, value_head=composition.has_critic, adapter=adapter)
        start = load_policy(path, kind).requires_grad_(False)
        reference = None if policy.has_adapter and not start.has_adapter else start
        masters = Masters(policy, optimizer or RL().optimizer, updates, Lanes(policy, lanes_here(policy.device)))
        trainer = PolicyTrainer(policy, reference, masters, composition, micro_tokens=micro_tokens, temperature=temperature,
                                seed=seed, max_new_tokens=max_new_tokens)
        tokenizer = load_tokenizer(path)
        return cls(trainer, ChatTemplate.load(path, tokenizer), tokenizer, max_new_tokens)

    def generate(self, prompts: Sequence[Asked], per_prompt: int = 1) -> list[Sample]:
        """Samples of the policy as it is, `per_prompt` for each prompt, grouped by prompt; other ones after each `step`."""
        seed = stream_seed(self.trainer.seed, "own loop", "samples", self.trainer.steps_done)
        sampling = Sampling(temperature=self.trainer.temperature, max_new_tokens=self.max_new_tokens, seed=seed)
        return self.engine.generate([as_prompt(each) for each in prompts], sampling, per_prompt)

    def step(self, prompts: Sequence[Asked], responses: Sequence[Response], scores: Sequence[float],
             token_scores: Sequence[Sequence[float]] | None = None) -> dict[str, float]:
        """Learn from B prompts, their responses and one score each; metrics and `token_scores` as those of `PolicyTrainer.step`.

        A prompt may stand several times, once for each of its responses, which are then each other's baseline where the
        algorithm has one.

        Raises:
            DataError: if there are not as many responses as prompts, or one is empty. RewardError: if not one finite score each.
        """
        if len(prompts) != len(responses) or not prompts:
            raise DataError(f"step got {len(prompts)} prompts and {len(responses)} responses; wanted as many, at least one.")
        samples = self.samples(prompts, responses)
        first = {sample.prompt_ids: i for i, sample in reversed(list(enumerate(samples)))}
        order = sorted(range(len(samples)), key=lambda i: first[samples[i].prompt_ids])      # a prompt's samples are neighbours
        if len(scores) != len(samples) or len(samples if token_scores is None else token_scores) != len(samples):
            return self.trainer.step(samples, scores, token_scores)      # which refuses them
        return self.trainer.step([samples[i] for i in order], [float(scores[i]) for i in order],
                                 None if token_scores is None else [token_scores[i] for i in order])

    def samples(self, prompts: Sequence[Asked], responses: Sequence[Response]) -> list[Sample]:
        """What `trainer.step` takes. Logprobs of what was not sampled here are measured now: the policy counts as its author."""
        made = [self._sample(as_prompt(prompt), response, i)
                for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True))]
        rows = [i for i, response in enumerate(responses) if not isinstance(response, Sample)]
        measured = measure(self.trainer.policy, [made[i] for i in rows], self.trainer.temperature)
        for i, logprobs in zip(rows, measured, strict=True):
            made[i] = replace(made[i], logprobs=logprobs)
        return made

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return self.trainer.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.trainer.load_state(state)

    def save(self, directory: str | Path) -> None:
        """Write model, tokenizer and chat template, as `--model` and transformers read them."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        save_policy(self.trainer.policy, self.tokenizer, Path(directory))
        self.template.save(Path(directory))

    def _sample(self, prompt: Prompt, response: Response, place: int) -> Sample:
        if isinstance(response, Sample):
            return response
        ids = self.template.render_prompt(prompt.messages)
        if isinstance(response, str):
            whole = render_to_end_of_turn(self.template, prompt.messages, (Message.of("assistant", response),))
            said, text = whole.ids[len(ids):], response
        else:
            said = tuple(response)
            text = str(self.tokenizer.decode([each for each in said if each != self.template.end_of_turn_id]))
        if not said:
            raise DataError(f"response {place} has no token; wanted a text, or ids as they were sampled.")
        return Sample(id=f"{prompt.id}-{place}", prompt=prompt, prompt_ids=tuple(ids), response_ids=said,
                      logprobs=(0.0,) * len(said), response_mask=(True,) * len(said), text=text,
                      ended=said[-1] == self.template.end_of_turn_id,
                      sampling=Sampling(temperature=self.trainer.temperature, max_new_tokens=self.max_new_tokens))


def as_prompt(asked: Asked) -> Prompt:
    if isinstance(asked, Prompt):
        return asked
    messages = (Message.of("user", asked),) if isinstance(asked, str) else cast(Messages, tuple(asked))
    return Prompt(id=messages_id("prompt", messages), messages=messages)


def measure(policy: Policy, samples: Sequence[Sample], temperature: float) -> list[tuple[float, ...]]:
    """The policy's logprobs of each response's tokens."""
    found: list[tuple[float, ...]] = []
    for sample in samples:
        row = TokenBatch.pack([(*sample.prompt_ids, *sample.response_ids)],
                              [(False,) * len(sample.prompt_ids) + sample.response_mask])
        found.append(tuple(policy.evaluate_logprobs(row, temperature).tolist()))
    return found
