"""The scripted truth calls good what a reader would, and the ways to cheat it pay little."""

import json
from pathlib import Path

import pytest
from feedback_records import (
    ANIMALS,
    ANSWERS,
    BANKNOTES,
    GOOD,
    GOOD_ZH,
    MAGNETS,
    NAILS,
    NERVOUS,
    PASTA,
    PLANET,
    TEA,
    ask,
    say,
)

import tutelage.data
from tutelage.feedback.reading import Sentence
from tutelage.feedback.scripted import ScriptedTruth
from tutelage.feedback.truth import RULES, WEIGHTS
from tutelage.messages import Message
from tutelage.protocols import Score
from tutelage.records import Prompt

TRUTH = ScriptedTruth()
BUILTIN = Path(tutelage.data.__file__).parent / "builtin"


def total(prompt: Prompt, text: str, ended: bool = True) -> float:
    return TRUTH.score([say(prompt, text, ended)]).total[0]


def parts(prompt: Prompt, text: str, ended: bool = True) -> dict[str, float]:
    return TRUTH.parts(say(prompt, text, ended))


def prompts(language: str) -> list[Prompt]:
    found = []
    for path in sorted(BUILTIN.glob(f"prompts.*.{language}.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.append(Prompt(id=row["id"], messages=(Message.of("user", row["prompt"]),), kind=row["kind"],
                                key_facts=tuple(map(tuple, row["key_facts"]))))
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def mean_total(answer, language: str = "en", ended: bool = True) -> float:      # type: ignore[no-untyped-def]
    """Mean over the built-in prompts of the total of `answer(prompt)`."""
    asked = prompts(language)
    assert len(asked) > 20
    return mean([total(prompt, answer(prompt), ended) for prompt in asked])


# What it is

def test_it_is_a_score_of_named_parts_between_0_and_1_whose_weighted_mean_is_the_total() -> None:
    samples = [say(prompt, text, ended)
               for prompt, texts in ANSWERS.items() for text in texts for ended in (True, False)]
    scores = TRUTH.score(samples)
    assert isinstance(TRUTH, Score)
    assert set(scores.parts) == set(RULES) == set(WEIGHTS) and len(WEIGHTS) >= 4
    assert all(0.0 <= value <= 1.0 for values in scores.parts.values() for value in values)
    for i, whole in enumerate(scores.total):
        weighed = [weight * scores.parts[name][i] for name, weight in WEIGHTS.items()]
        assert whole == pytest.approx(sum(weighed) / sum(WEIGHTS.values()))


def test_it_depends_on_nothing_but_the_response_its_prompt_and_whether_it_ended() -> None:
    samples = [say(prompt, text) for prompt, texts in ANSWERS.items() for text in texts]
    forwards, backwards = TRUTH.score(samples), ScriptedTruth().score(samples[::-1])
    assert forwards.total == backwards.total[::-1]


# What it likes

@pytest.mark.parametrize(("prompt", "text"), [*GOOD, *GOOD_ZH])
def test_a_good_human_answer_scores_high(prompt: Prompt, text: str) -> None:
    assert total(prompt, text) >= 0.85, parts(prompt, text)


def test_worse_answers_score_less_in_the_order_a_reader_would_give() -> None:
    for prompt, answers in ANSWERS.items():
        totals = [total(prompt, text, ended=not text or text[-1] in ".!?s") for text in answers]
        assert totals[0] >= totals[1] > totals[2] > max(totals[3:]), (prompt, totals)
        assert max(totals[3:]) < 0.36, (prompt, totals)


@pytest.mark.parametrize(("language", "least"), [("en", 0.9), ("zh", 0.85)])
def test_the_built_in_answers_have_the_form_it_asks_for(language: str, least: float) -> None:
    rows = [json.loads(line) for line in (BUILTIN / f"instructions.{language}.jsonl").read_text("utf-8").splitlines()]
    scores = TRUTH.score([say(ask(row["prompt"], row["kind"]), row["response"]) for row in rows])
    form = {name: mean(list(values)) for name, values in scores.parts.items() if name != "content"}
    assert mean(list(form.values())) >= least, form
    assert min(form["complete"], form["clean"], form["fit"]) >= 0.98, form
    assert form["voice"] >= 0.6, form       # without a rubric half of it cannot be told


# What it does not fall for: over all built-in prompts

TRICKS = {
    "empty": lambda prompt: "",
    "keywords": lambda prompt: " ".join(_forms(prompt)),
    "keywords with a stop": lambda prompt: f"{' '.join(_forms(prompt)).capitalize()}.",
    "keywords with commas": lambda prompt: f"{', '.join(_forms(prompt)).capitalize()}.",
    "every form of every fact": lambda prompt: f"{' '.join(_all_forms(prompt)).capitalize()}.",
    "echo": lambda prompt: prompt.messages[0].text,
    "echo as a sentence": lambda prompt: f"{prompt.messages[0].text.rstrip('.?!').capitalize()}.",
    "refusal": lambda prompt: "I'm sorry, but I can't help with that.",
    "refusal of an assistant": lambda prompt: "As an AI language model, I cannot provide an answer to this question.",
    "endless you": lambda prompt: "you " * 30,
    "you in every clause": lambda prompt: "You know you can do what you like if you are you, and you will if you do.",
    "shouting": lambda prompt: "YOU CAN DO THIS!!! IT IS GREAT!!!",
    "numbers": lambda prompt: "1 2 3 4 5 6 7 8 9 10 11 12.",
    "title case": lambda prompt: "You Can Try The Best Of It At Home For Example With Two Friends Of Yours.",
}


def _forms(prompt: Prompt) -> list[str]:
    return [forms[0].replace("*", "") for forms in prompt.key_facts]


def _all_forms(prompt: Prompt) -> list[str]:
    return [form.replace("*", "") for forms in prompt.key_facts for form in forms]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_pays_little(trick: str) -> None:
    assert mean_total(TRICKS[trick]) < 0.33


def test_one_pleasant_paragraph_for_every_prompt_pays_little() -> None:
    pleasant = ("You are doing great, and you can take one small step today, such as talking to a friend. "
                "Keep going, because every day brings you something good.")
    assert mean_total(lambda prompt: pleasant) < 0.42


def test_a_template_filled_with_the_prompts_own_words_pays_little() -> None:
    def template(prompt: Prompt) -> str:
        topic = " ".join(Sentence(prompt.messages[0].text).content_words[:3])
        return (f"You can learn a lot about {topic}, for example at home with two friends. "
                "Try it today and see how good it is.")
    assert mean_total(template) < 0.45


def test_good_answers_to_other_prompts_pay_little() -> None:
    asked = prompts("en")
    answers = [text for _, text in GOOD]
    scores = [total(prompt, answers[i % len(answers)]) for i, prompt in enumerate(asked)]
    assert mean(scores) < 0.42


# What it does not fall for: one rule at a time

def test_facts_count_only_inside_real_sentences() -> None:
    assert parts(PLANET, "Mercury, Jupiter.")["content"] == 0
    assert parts(PLANET, "Mercury jupiter sun planets.")["content"] == 0
    assert parts(PLANET, "mercury jupiter sun planet biggest closest")["content"] == 0
    assert parts(PLANET, "You can see them tonight. Mercury Jupiter.")["content"] == 0
    assert parts(PLANET, "It is Mercury, and the other is Jupiter")["content"] == 0        # never finished
    assert parts(PLANET, "It is Mercury, and the other is Jupiter.")["content"] == 1


def test_facts_are_whole_words_whatever_their_case_and_a_star_stands_for_the_rest() -> None:
    prompt = ask("Say it.", facts=(("cat",), ("practi*",), ("on foot",)))
    assert parts(prompt, "The CAT went there on foot to its practice.")["content"] == 1
    assert parts(prompt, "The category of this is impractical for a foot.")["content"] == 0


def test_what_the_prompt_said_itself_is_no_fact() -> None:
    text = "The bus was late, then it broke down, and in the end Tom walked all the way to work."
    prompt = ask(f"Summarise: {text}", "summarise", (("bus",), ("walk*",)))
    assert parts(prompt, text) == dict.fromkeys(RULES, 0.0) | {"complete": 1.0, "fit": 1.0}
    assert parts(prompt, "Tom's bus failed him, so he walked.")["content"] == 1


def test_a_response_that_breaks_off_is_worth_half_at_most_however_good() -> None:
    for prompt, text in GOOD:
        assert total(prompt, text, ended=False) < 0.55
        cut = text[:int(0.8 * len(text))].rstrip(" .!?")
        assert total(prompt, cut, ended=False) < 0.5
        assert total(prompt, cut, ended=True) < 0.55        # it stopped, but in the middle of a sentence


def test_running_in_circles_costs_nearly_everything() -> None:
    for prompt, text in GOOD:
        once, twice = total(prompt, text), total(prompt, f"{text} {text}")
        assert twice < 0.4 < once
        assert total(prompt, f"{text} {text.replace(' a ', ' the ')}") < 0.4        # nearly the same counts as the same
    assert parts(PASTA, "You should stir stir stir the pasta in boiling water.")["clean"] == 0


@pytest.mark.parametrize("opener", [
    "Sure! ", "Certainly! ", "Of course, ", "Great question! ", "That's a great question. ", "Here are some tips. ",
    "As an AI, I have no hands. ", "I'd be happy to help with that. "])
def test_boilerplate_openers_cost(opener: str) -> None:
    for prompt, text in GOOD:
        if prompt.kind not in ("smalltalk", "decline"):
            assert parts(prompt, opener + text)["clean"] <= 0.5
            assert total(prompt, opener + text) < total(prompt, text)


@pytest.mark.parametrize("tail", [" Would you like to know more?", " Let me know if you have any questions.",
                                  " I hope this helps!", " What do you think about that?"])
def test_questions_thrown_back_and_offers_of_more_cost(tail: str) -> None:
    for prompt, text in GOOD[:6]:
        assert parts(prompt, text + tail)["clean"] <= 0.5
        assert total(prompt, text + tail) < total(prompt, text)


@pytest.mark.parametrize("text", [
    "Here you go:\n\n1. Boil the water.\n2. Stir the pasta.\n3. Drain it.",
    "- Boil the water.\n- Stir the pasta.\n- Drain it.",
    "**Water**: Boil it well for you. **Oil**: Stir it into your pasta.",
    "## Pasta\nBoil the water and stir your pasta for 3 minutes.",
    "Step 1: Boil the water. Step 2: Stir the pasta.",
])
def test_scaffolding_costs(text: str) -> None:
    assert parts(PASTA, text)["clean"] <= 0.5


def test_too_much_you_is_worse_than_none() -> None:
    plain = "Boiling water and a stir now and then keep pasta apart."
    once = "Boiling water and a stir now and then keep your pasta apart, and 2 minutes of that will do for you."
    often = "You boil your water, you stir when you can, you wait as you like, and you keep your pasta apart."
    assert parts(PASTA, once)["voice"] > parts(PASTA, plain)["voice"] > parts(PASTA, often)["voice"] == 0


def test_an_example_must_be_given_and_numbers_in_a_heap_are_none() -> None:
    bare = parts(NAILS, "Short nails help you to lose the habit, for example.")["voice"]
    given = parts(NAILS, "Short nails help you to lose the habit, for example when you read.")["voice"]
    assert given == 1.0 and bare == 0.5
    heap = parts(MAGNETS, "You can see the poles attract 1 or 2 or 3 or 4 or 5 or 6 or 7 or 8 or 9 things.")["voice"]
    assert heap < given


def test_a_fixed_tail_on_an_answer_pays_half_of_what_a_fitting_word_does() -> None:
    dry = "The poles of a magnet attract iron."
    tail = parts(MAGNETS, f"{dry} You can try it at home for example with two friends.")["voice"]
    fitting = parts(MAGNETS, "The poles of a magnet attract iron, for example the 2 nails in your drawer.")["voice"]
    assert parts(MAGNETS, dry)["voice"] == 0 and tail == 0.5 and fitting == 1


def test_refusing_is_right_only_where_it_is_asked_for() -> None:
    refusal = "I won't help with that, because it is a crime."
    assert total(BANKNOTES, refusal) > 0.6
    assert total(PASTA, "I'm sorry, but I can't help with that.") < 0.3


def test_more_sentences_than_three_and_run_ons_do_not_fit() -> None:
    assert [parts(PASTA, "Stir it in the pot now. " * n)["fit"] for n in (1, 3, 4, 5, 6)] == [1, 1, 0.6, 0.3, 0]
    for clauses, fits in [(9, 1), (29, 1), (30, 0.6), (50, 0)]:           # 4 words each, 40 to a sentence
        assert parts(PASTA, "So " + "you stir it and " * clauses + "wait.")["fit"] == fits


def test_length_alone_moves_no_part() -> None:
    short = "Mercury is the closest, and Jupiter is the biggest. You can see it on 2 nights."
    fillers = ["now", "quite probably", "usually and ordinarily", "in most but not in all of the many seasons of it"]
    for filler in fillers:
        assert parts(PLANET, short.replace("You can", f"You can {filler}")) == parts(PLANET, short)
        assert parts(PLANET, short.replace("Mercury is", f"Mercury is {filler}")) == parts(PLANET, short)
    for prompt, texts in ANSWERS.items():
        assert total(prompt, texts[0]) > total(prompt, f"{texts[0]} {'It is as it is in the world today. ' * 3}")


# Chinese

TRICKS_ZH = {
    "empty": lambda prompt: "",
    "keywords": lambda prompt: "、".join(_forms(prompt)) + "。",
    "echo": lambda prompt: prompt.messages[0].text + "。",
    "refusal": lambda prompt: "抱歉，我无法回答这个问题。",
    "assistant": lambda prompt: "作为一个人工智能语言模型，我无法提供相关的信息。",
    "endless you": lambda prompt: "你可以做你想做的，你要相信你自己，你会看到你的你。",
    "circles": lambda prompt: "这个问题很重要，我们要认真对待。" * 4,
}


@pytest.mark.parametrize("trick", TRICKS_ZH)
def test_a_trick_pays_little_in_chinese_too(trick: str) -> None:
    assert mean_total(TRICKS_ZH[trick], "zh") < 0.35


def test_one_pleasant_paragraph_pays_little_in_chinese_too() -> None:
    pleasant = "每一天都是新的开始，你可以先喝一杯热水，慢慢来。相信自己，好事会一件一件地来。"
    assert mean_total(lambda prompt: pleasant, "zh") < 0.45


def test_chinese_is_read_by_the_same_rules() -> None:
    good = GOOD_ZH[0][1]
    assert parts(TEA, good) == dict.fromkeys(RULES, 1.0)
    assert parts(TEA, good.rstrip("。"))["complete"] == 0                             # the last sentence never ends
    assert parts(TEA, good + good)["clean"] == 0
    assert parts(TEA, "当然，" + good)["clean"] == 0.5
    assert parts(TEA, good + "还有什么问题可以问我？")["clean"] == 0.5
    assert parts(TEA, "1. 水温八十度。\n2. 泡两分钟。\n3. 趁热喝。")["clean"] == 0
    assert parts(NERVOUS, "深呼吸、放松、准备、加油、别怕。")["content"] == 0
    assert parts(ANIMALS, "猪、牛、羊。") == dict.fromkeys(RULES, 0.0)
