"""The engine against the simplest decoder there is, and against the trainer's own forward."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from one_at_a_time import MODELS, V, naive, requests, tiny

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, ModelError
from tutelage.generation import flight as flight_module
from tutelage.generation.engine import Engine, Response, decode
from tutelage.messages import Message
from tutelage.models.config import Adapter
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Prompt, Sample, Sampling


@pytest.mark.parametrize("slots", [1, 3, 8])
@pytest.mark.parametrize("architecture", sorted(MODELS))
def test_decoding_in_slots_equals_decoding_one_at_a_time(architecture: str, slots: int) -> None:
    """Prefill, shared prompts, slots that fill, empty and move, windows and caps: all of it changes nothing.

    Ten requests or more a case.
    """
    policy, theirs, rng = Policy(tiny(architecture)), tiny(architecture), random.Random(slots)
    theirs.set_attn_implementation("eager")
    ended = []
    for per_prompt in (1, 2, 3, 4):
        sampling = Sampling(max_new_tokens=rng.randint(1, 12), temperature=rng.choice([0, 0.7, 1.0]), top_k=rng.choice([0, 0, 9]),
                            top_p=rng.choice([1.0, 1.0, 0.8]))
        prompts, responses = requests(rng, rng.randint(1, 3), per_prompt)
        stop_ids = set(rng.sample(range(V), rng.choice([0, 4, 12])))
        decode(policy, prompts, responses, sampling, tuple(stop_ids), slots)
        for response in responses:
            ids, logprobs, stopped = naive(theirs, prompts[response.prompt], response.seed, sampling, stop_ids)
            assert (response.ids, response.ended) == (ids, stopped)
            assert response.logprobs == pytest.approx(logprobs, abs=1e-5)
            ended.append(response.ended)
    assert True in ended and False in ended, "both ways to leave are tried"


@pytest.mark.parametrize("architecture", ["mistral", "gpt2"])
def test_long_responses_stay_right(architecture: str) -> None:
    """Ten windows of tokens, learned positions up to the last one there is."""
    policy, theirs = Policy(tiny(architecture, max_position_embeddings=48)), tiny(architecture, max_position_embeddings=48)
    theirs.set_attn_implementation("eager")
    sampling = Sampling(max_new_tokens=40)
    prompts, responses = [[5, 6, 7, 8, 9, 10, 11, 12], [3]], [Response(0, 11), Response(0, 12), Response(1, 13)]
    decode(policy, prompts, responses, sampling, (), 2)
    for response in responses:
        assert response.ids == naive(theirs, prompts[response.prompt], response.seed, sampling, set())[0]


def test_prompts_are_admitted_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """More prompt tokens than one forward takes: the same responses, whatever the portions."""
    results = []
    for portion in (1, 7, 2048):
        monkeypatch.setattr(flight_module, "PREFILL_TOKENS", portion)
        prompts, responses = requests(random.Random(4), 7, 2)
        decode(Policy(tiny("llama")), prompts, responses, Sampling(max_new_tokens=6), (3, 4, 5), 8)
        results.append([(response.ids, response.ended) for response in responses])
    assert results[0] == results[1] == results[2]


# --- the engine over texts --------------------------------------------------------------------------------------------

def template() -> ChatTemplate:
    return ChatTemplate.of(tiny_tokenizer())


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(id=f"p-{text}", messages=(Message.of("user", text),)) for text in texts]


def facts(samples: Sequence[Sample]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """By prompt and place among that prompt's samples. Not by id: in it are the logprobs, whose last bits depend on the batch."""
    places: Counter[str] = Counter()
    found = {}
    for sample in samples:
        found[sample.prompt.id, places[sample.prompt.id]] = (sample.response_ids, sample.ended)
        places[sample.prompt.id] += 1
    return found


def eager_to_stop() -> Policy:
    """A tiny Llama whose end-of-turn token is likely enough that some responses end early."""
    model = tiny_model(noise=0.1, tie_word_embeddings=False)
    model.lm_head.weight.data[257] = model.lm_head.weight.data.mean(0) + 0.05
    return Policy(model)


def test_a_sample_is_what_was_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    policy, chat = eager_to_stop(), template()
    asked, sampling = prompts("Hello", "天空", "Why?"), Sampling(max_new_tokens=120, seed=9)
    done: list[int] = []
    samples = Engine(policy, chat, slots=4, name="model/mine@1").generate(asked, sampling, 3, done.append)
    assert [sample.prompt for sample in samples] == [each for each in asked for _ in range(3)]
    assert sum(done) == 9, "each response that is done is counted"
    assert {sample.ended for sample in samples} == {True, False}
    for sample in samples:
        assert sample.prompt_ids == chat.render_prompt(sample.prompt.messages)
        assert sample.policy == "model/mine@1" and sample.sampling == sampling
        assert len(sample.response_ids) == len(sample.logprobs) == len(sample.response_mask) <= 120
        assert all(sample.response_mask)
        assert sample.ended is (sample.response_ids[-1] == chat.end_of_turn_id), "the end-of-turn token is part of the response"
        assert chat.end_of_turn_id not in sample.response_ids[:-1]
        assert sample.ended or len(sample.response_ids) == 120
        assert sample.text == chat.decode_response(sample.response_ids) and "<|im_end|>" not in sample.text
    assert len({sample.id for sample in samples}) == len({sample.response_ids for sample in samples}) == 9
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("adapter", [None, Adapter(rank=2)])
def test_the_logprobs_are_those_of_the_trainers_forward(adapter: Adapter | None) -> None:
    """open-instruct#1473, trl#3867, verl#2953: a rollout whose logprobs are not the trainer's collapses."""
    from tutelage.models.adapters import add_adapter

    policy = eager_to_stop()
    if adapter is not None:
        add_adapter(policy, adapter)
        for name, value in policy.named_parameters():
            if "lora_B" in name:
                value.data += 0.05
    samples = Engine(policy, template(), slots=3).generate(prompts("a", "bc"), Sampling(max_new_tokens=20, temperature=0.8), 3)
    rows = [(*sample.prompt_ids, *sample.response_ids) for sample in samples]
    masks = [[False] * len(sample.prompt_ids) + [True] * len(sample.response_ids) for sample in samples]
    batch = TokenBatch.pack(rows, masks, [len(sample.prompt_ids) for sample in samples])
    trained = policy.evaluate_logprobs(batch, temperature=0.8)
    sampled = torch.tensor([logprob for sample in samples for logprob in sample.logprobs])
    torch.testing.assert_close(sampled, trained, atol=1e-5, rtol=0)


def test_a_sample_does_not_depend_on_what_else_is_generated() -> None:
    """Not on its batch, its place in it, or the slots: only on the seed, its prompt and its place among that prompt's."""
    policy, asked, sampling = eager_to_stop(), prompts("a", "bc", "def", "ghij"), Sampling(max_new_tokens=15, seed=3)
    whole = facts(Engine(policy, template(), slots=64).generate(asked, sampling, 3))
    assert len(whole) == 12
    for slots in (1, 2, 5):
        assert facts(Engine(policy, template(), slots=slots).generate(asked[::-1], sampling, 3)) == whole
    for each in asked:
        alone = facts(Engine(policy, template()).generate([each], sampling, 2))
        assert len(alone) == 2 and alone.items() <= whole.items()


def test_another_seed_gives_other_samples_and_the_same_seed_the_same() -> None:
    policy, asked = eager_to_stop(), prompts("a")
    engine = Engine(policy, template())
    first, again, other = (engine.generate(asked, Sampling(max_new_tokens=8, seed=seed), 2) for seed in (1, 1, 2))
    assert first == again
    assert not {sample.response_ids for sample in first} & {sample.response_ids for sample in other}


def test_weights_that_change_are_seen_by_the_next_generate() -> None:
    """verl#7495: weights never reached the engine. Ours reads the trainer's own."""
    policy, asked, sampling = eager_to_stop(), prompts("a"), Sampling(max_new_tokens=8)
    engine = Engine(policy, template())
    before = engine.generate(asked, sampling)
    policy.model.lm_head.weight.data[65] += 100 * policy.model.lm_head.weight.data.abs().mean()
    after = engine.generate(asked, sampling)
    assert before[0].logprobs != after[0].logprobs


def test_nothing_asked_nothing_drawn() -> None:
    engine = Engine(eager_to_stop(), template())
    assert engine.generate([], Sampling(), 4) == []
    assert engine.generate(prompts("a"), Sampling(), 0) == []


def test_what_does_not_fit_into_the_positions_is_refused_before_anything_is_drawn() -> None:
    policy = Policy(tiny("gpt2", max_position_embeddings=16))
    response = Response(0, 1)
    decode(policy, [[2] * 10], [response], Sampling(max_new_tokens=6), (), 1)
    assert len(response.ids) == 6, "16 positions hold 10 + 6"
    with pytest.raises(ModelError, match=r"need 17 positions, the model has 16\. Shorten the prompts or lower max_new_tokens"):
        decode(policy, [[2] * 10], [Response(0, 1)], Sampling(max_new_tokens=7), (), 1)


@pytest.mark.parametrize("settings", [
    {"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        decode(Policy(tiny("llama")), [[1]], [Response(0, 1)], Sampling(**settings), (), 1)


def test_no_slots_and_empty_prompts_are_refused() -> None:
    with pytest.raises(ConfigError, match="slots 0"):
        decode(Policy(tiny("llama")), [[1]], [Response(0, 1)], Sampling(), (), 0)
    with pytest.raises(ModelError, match=r"1 of 2 prompts hold no token \(first: number 1\)"):
        decode(Policy(tiny("llama")), [[1], []], [Response(0, 1), Response(1, 1)], Sampling(), (), 1)


def test_a_padded_architecture_cannot_decode() -> None:
    with pytest.raises(ModelError, match="bloom does not take transformers' attention interface"):
        decode(Policy(tiny_model("bloom")), [[1]], [Response(0, 1)], Sampling(), (), 1)


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_policy_that_is_not_finite_is_an_error_and_no_sample(temperature: float) -> None:
    policy = Policy(tiny("llama"))
    policy.model.model.norm.weight.data[0] = float("nan")
    with pytest.raises(ModelError, match="logits after token 0 of a response are not finite"):
        decode(policy, [[1]], [Response(0, 1)], Sampling(temperature=temperature), (), 1)


def test_bf16_stays_within_the_rounding_of_its_own_forward() -> None:
    """The mismatch D8 measures: engine against trainer, in the arithmetic of training."""
    policy = eager_to_stop().to(torch.bfloat16)
    samples = Engine(policy, template(), slots=4).generate(prompts("a", "bc"), Sampling(max_new_tokens=30), 4)
    rows = [(*sample.prompt_ids, *sample.response_ids) for sample in samples]
    masks = [[False] * len(sample.prompt_ids) + [True] * len(sample.response_ids) for sample in samples]
    trained = policy.evaluate_logprobs(TokenBatch.pack(rows, masks))
    sampled = torch.tensor([logprob for sample in samples for logprob in sample.logprobs])
    assert float((trained - sampled).abs().mean()) < 0.02


def test_slots_stay_dense_when_responses_leave_in_any_order() -> None:
    """Responses of very different lengths in few slots: the last moves into the place of one that leaves."""
    policy, rng = Policy(tiny("llama")), random.Random(1)
    rows, responses = requests(rng, 12, 1)
    decode(policy, rows, responses, Sampling(max_new_tokens=30), (1, 2, 3), 4)
    lengths = [len(response.ids) for response in responses]
    assert len(set(lengths)) > 4 and any(a > b for a, b in pairwise(lengths))
    for index in (0, 5, 11):
        alone = Response(0, responses[index].seed)
        decode(policy, [rows[index]], [alone], Sampling(max_new_tokens=30), (1, 2, 3), 1)
        assert alone.ids == responses[index].ids


# --- watching, cancelling, settings of one's own ----------------------------------------------------------------------

def test_tokens_are_told_as_they_are_drawn() -> None:
    told: dict[int, list[tuple[int, float]]] = {}
    samples = Engine(eager_to_stop(), template(), slots=3).generate(
        prompts("a", "bc"), Sampling(max_new_tokens=12), 2,
        on_token=lambda place, token, logprob: told.setdefault(place, []).append((token, logprob)))
    assert [told[place] for place in range(4)] == [list(zip(each.response_ids, each.logprobs, strict=True)) for each in samples]


def test_what_is_cancelled_ends_there_and_changes_no_other() -> None:
    engine, asked, sampling = Engine(eager_to_stop(), template(), slots=3), prompts("a", "bc"), Sampling(max_new_tokens=12)
    whole = engine.generate(asked, sampling, 2)
    counts: Counter[int] = Counter()

    def until_five_of_the_second(place: int, token: int, logprob: float) -> bool:
        counts[place] += 1
        return not (place == 1 and counts[place] == 5)

    some = engine.generate(asked, sampling, 2, on_token=until_five_of_the_second)
    assert len(whole[1].response_ids) > 5
    assert some[1].response_ids == whole[1].response_ids[:5] and not some[1].ended
    assert [each.response_ids for each in (some[0], *some[2:])] == [each.response_ids for each in (whole[0], *whole[2:])]


def test_a_response_that_is_cancelled_from_elsewhere_is_not_begun() -> None:
    done: list[int] = []
    responses = [Response(0, 1), Response(0, 2, cancelled=True), Response(1, 3, cancelled=True)]
    decode(Policy(tiny("llama")), [[1], [2]], responses, Sampling(max_new_tokens=3), (), 1, done.append)
    assert [len(each.ids) for each in responses] == [3, 0, 0]
    assert [each.reason for each in responses] == ["length", "cancelled", "cancelled"] and sum(done) == 3


def test_what_a_callback_raises_comes_out() -> None:
    def stop(place: int, token: int, logprob: float) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Engine(eager_to_stop(), template()).generate(prompts("a"), Sampling(), on_token=stop)


def test_each_prompt_may_have_settings_and_a_seed_of_its_own() -> None:
    engine, asked = Engine(eager_to_stop(), template(), slots=4), prompts("a", "bc", "d")
    own = [Sampling(max_new_tokens=4, seed=1), Sampling(max_new_tokens=9, temperature=0.5, seed=2), Sampling(top_k=1, seed=3)]
    together = engine.generate(asked, own, 2)
    alone = [sample for prompt, each in zip(asked, own, strict=True) for sample in engine.generate([prompt], each, 2)]
    assert [each.response_ids for each in together] == [each.response_ids for each in alone]
    assert [each.sampling for each in together] == [each for each in own for _ in range(2)]
    with pytest.raises(ConfigError, match="2 settings for 3 prompts"):
        engine.generate(asked, own[:2])


def test_a_response_ends_with_the_token_that_completes_a_stop_string() -> None:
    """Its ids are kept as they were drawn, its text is cut before the string."""
    engine, asked = Engine(eager_to_stop(), template()), prompts("Hello")
    free = engine.generate(asked, Sampling(max_new_tokens=40, seed=4))[0]
    string = next(c for c in free.text[3:] if c.isascii() and free.text.index(c) > 2)
    cut = engine.generate(asked, Sampling(max_new_tokens=40, seed=4, stop_strings=(string, "never said")))[0]
    assert cut.ended and cut.text == free.text[: free.text.index(string)]
    assert cut.response_ids == free.response_ids[: len(cut.response_ids)]
    assert template().decode_response(cut.response_ids) == cut.text + string
    late = engine.generate(asked, Sampling(max_new_tokens=40, min_new_tokens=30, seed=4, stop_strings=(string,)))[0]
    assert len(late.response_ids) >= 30


def test_a_merged_adapter_is_a_copy_whose_deviation_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """trl#5188: what merging rounds away is a silent change of the policy elsewhere."""
    from tutelage.models.adapters import add_adapter

    policy, asked, sampling = eager_to_stop(), prompts("a", "bc"), Sampling(max_new_tokens=10)
    add_adapter(policy, Adapter(rank=2))
    for name, value in policy.named_parameters():
        if "lora_B" in name:
            value.data += 0.05
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    beside, merged = Engine(policy, template()), Engine(policy, template(), merge=True)
    own, rounded = beside.generate(asked, sampling, 2), merged.generate(asked, sampling, 2)
    assert [each.response_ids for each in own] == [each.response_ids for each in rounded]
    assert merged.deviation is not None and 0 < merged.deviation < 1e-4 and beside.deviation is None
    assert "merged into a copy of the weights" in capsys.readouterr().out
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items()), "the policy stays as it was"
    for name, value in policy.named_parameters():      # the next generate merges what the adapter is then
        if "lora_B" in name:
            value.data += 0.5
    assert [each.logprobs for each in merged.generate(asked, sampling)] != [each.logprobs for each in own[::2]]
    policy.to(torch.bfloat16)
    coarse = Engine(policy, template(), merge=True)
    coarse.generate(asked, sampling)
    assert coarse.deviation is not None and coarse.deviation > merged.deviation


@pytest.mark.parametrize("settings", [
    {"min_p": 1.5}, {"min_p": float("nan")}, {"repetition_penalty": 0.0}, {"min_new_tokens": 99}, {"min_new_tokens": -1},
    {"temperature": float("inf")}, {"logit_bias": ((V, 1.0),)}, {"logit_bias": ((1, float("nan")),)}, {"stop_strings": ("",)}])
def test_settings_that_mean_nothing_are_refused_also_where_they_are_one_requests_own(settings: dict[str, Any]) -> None:
    for shared, own in ((Sampling(**settings), None), (Sampling(), Sampling(**settings))):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            decode(Policy(tiny("llama")), [[1]], [Response(0, 1, own)], shared, (), 1)


def test_settings_come_back_from_their_file() -> None:
    plain = Sampling(seed=3)
    assert set(plain.to_json()) == {"temperature", "top_p", "top_k", "max_new_tokens", "seed"}, "as files have always had it"
    rich = Sampling(min_p=0.1, repetition_penalty=1.2, logit_bias=((3, -1.5),), min_new_tokens=2, stop_strings=("a", "b"))
    for each in (plain, rich):
        assert Sampling.from_json(json.loads(json.dumps(each.to_json()))) == each
