"""Tasks as files: read as they are written, refused with the line, graded by hand."""

from __future__ import annotations

import json

import pytest
from sacrebleu.metrics import BLEU, CHRF
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tutelage.config import load
from tutelage.errors import ConfigError, DataError
from tutelage.evaluation.config import Evaluate, Task
from tutelage.evaluation.graders import cut, grade, metrics_of, named_label, over_all
from tutelage.evaluation.tasks import Item, load_task


@pytest.fixture
def write(tmp_path):
    def build(head: str, *rows, name: str = "quiz", **files):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
                                                encoding="utf-8")
        for other, lines in files.items():
            (tmp_path / f"{other}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
        if not head:
            return tmp_path / f"{name}.jsonl"
        (tmp_path / f"{name}.toml").write_text(head + f'\nitems = "{name}.jsonl"\n', encoding="utf-8")
        return tmp_path / f"{name}.toml"
    return build


def test_a_task_with_shots_asks_in_chat_and_in_plain_text(write):
    path = write('prompt = "Capital of {country}?"\nexamples = "shots.jsonl"\nshots = 1\nsystem = "Be brief."',
                 {"country": "France", "answer": "Paris"}, {"country": "中国", "answers": ["北京", "北京市"]},
                 shots=[{"country": "Japan", "answer": "Tokyo"}, {"country": "Peru", "answer": "Lima"}])
    task = load_task(path)
    assert task.name == "quiz" and [item.answers for item in task.items] == [("Paris",), ("北京", "北京市")]
    chat = task.conversation(task.items[1], ())
    assert [(each.role, each.text) for each in chat] == [
        ("system", "Be brief."), ("user", "Capital of Japan?"), ("assistant", "Tokyo"), ("user", "Capital of 中国?")]
    assert task.plain(task.items[0]) == "Capital of Japan? Tokyo\n\nCapital of France?"
    assert len(load_task(path, limit=1).items) == 1 and load_task(path, limit=1).sha256 != task.sha256 == load_task(path).sha256
    assert task.items[0].bare == "France"


@pytest.mark.parametrize(("answer", "right"), [(1, 1), ("1", 1), ("B", 1), ("b", 1), ("blue", 1), ("red", 0)])
def test_the_right_choice_is_a_number_a_letter_or_its_text(write, answer, right):
    task = load_task(write("", {"question": "Sky?", "choices": ["red", "blue"], "answer": answer}))
    assert task.head.kind == "choice" and task.items[0].right == right and task.items[0].choices == (" red", " blue")
    assert task.items[0].turns == ("Sky?",)


def test_lines_alone_tell_what_they_are(write):
    assert load_task(write("", {"text": "Some prose."})).head.kind == "perplexity"
    rules = load_task(write("", {"prompt": "Say little.", "rules": [{"rule": "words", "at_most": 3}]}))
    assert rules.head.grader == "rules" and load_task(write("", {"prompt": "2+2?", "answer": 4})).items[0].answers == ("4",)


def test_turns_are_asked_one_after_the_other(write):
    task = load_task(write("", {"turns": ["Pick a city.", "Which country is it in?"], "answer": "France"}))
    item = task.items[0]
    assert [each.text for each in task.conversation(item, ())] == ["Pick a city."]
    assert [each.text for each in task.conversation(item, ["Paris"])] == ["Pick a city.", "Paris", "Which country is it in?"]


@pytest.mark.parametrize(("head", "row", "complaint"), [
    ('promt = "x"', {"prompt": "x"}, "unknown key promt. Did you mean prompt"), ("", {"prompt": "x"}, "item 1 has no answer"),
    ('prompt = "{question}"', {"prompt": "x", "answer": "y"}, "has no text 'question'"),
    ('kind = "choice"', {"prompt": "x", "choices": ["a"], "answer": 0}, "a list of two texts or more"),
    ('kind = "choice"', {"prompt": "x", "choices": ["a", "b"], "answer": 2}, "names none of its 2 choices"),
    ('kind = "choice"', {"prompt": "x", "choices": ["a", "b"], "answer": True}, "names none of its 2 choices"),
    ('kind = "perplexity"', {"prompt": "x"}, "has no text; wanted one to measure"),
    ('grader = "rules"', {"prompt": "x"}, "has no rules"),
    ('grader = "rules"', {"prompt": "x", "rules": [{"rule": "wrds"}]}, "no rule 'wrds'"),
    ('grader = "rules"', {"prompt": "x", "rules": [{"rule": "case", "case": "odd"}]}, "'lower' or 'upper'"),
    ('grader = "label"', {"prompt": "x", "answer": "y"}, "two labels or more"),
    ('grader = "label"\nlabels = ["a", "b"]', {"prompt": "x", "answer": "c"}, "none of the labels a, b"),
    ('twin = "x"\ngrader = "sycophancy"', {"prompt": "x"}, "not with the grader sycophancy"),
    ('grader = "reward"', {"prompt": "x"}, "needs a reward by name"),
    ('group = "topic"', {"prompt": "x", "answer": "y"}, "has no text 'topic'"),
    ("shots = 2", {"prompt": "x", "answer": "y"}, "2 shots need examples"),
    ("pass_at = 5\nsamples = 2", {"prompt": "x", "answer": "y"}, "at least as many samples"),
    ("", {"turns": [], "answer": "y"}, "a list of texts, one or more"), ("samples = 0", {"prompt": "x", "answer": "y"}, ">= 1")])
def test_what_is_no_task_is_refused(write, head, row, complaint):
    with pytest.raises((ConfigError, DataError), match=complaint):
        load_task(write(head or 'kind = "text"', row))


def test_files_that_are_none_are_refused(tmp_path, write):
    with pytest.raises(DataError, match="cannot be read"):
        load_task(tmp_path / "nothing.jsonl")
    (tmp_path / "odd.jsonl").write_text('{"prompt": "x", "answer": "y"}\n[1]\n')
    with pytest.raises(DataError, match="line 2, is no JSON object"):
        load_task(tmp_path / "odd.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="has no items"):
        load_task(tmp_path / "empty.jsonl")
    (tmp_path / "headless.toml").write_text('kind = "text"\n')
    with pytest.raises(DataError, match="names no items"):
        load_task(tmp_path / "headless.toml")
    with pytest.raises(DataError, match=r"2 shots are wanted and shots\.jsonl holds 1"):
        load_task(write('shots = 2\nexamples = "shots.jsonl"', {"prompt": "x", "answer": "y"},
                        shots=[{"prompt": "a", "answer": "b"}]))


ITEM = Item(id="i", turns=("q",), answers=("the blue sky",),
            rules=({"rule": "words", "at_most": 3}, {"rule": "ends_with", "text": "."}))


@pytest.mark.parametrize(("grader", "response", "first"), [
    ("exact_match", "Blue sky!", 1.0), ("token_f1", "a blue sea", 0.5), ("contains", "It is the blue sky today", 1.0),
    ("bleu", "the blue sky", 0.0), ("chrf", "the blue sky", 1.0), ("rouge_l", "the sky", 0.8), ("rules", "Blue sky.", 1.0),
    ("rules", "Blue sky", 0.0)])
def test_each_grader_by_hand(grader, response, first):
    marks = grade(Task(grader=grader), ITEM, response)
    assert tuple(marks) == metrics_of(Task(grader=grader))
    assert next(iter(marks.values())) == pytest.approx(first, abs=1e-9)


@pytest.mark.parametrize(("response", "label"), [
    ("Positive.", "positive"), ("It is not positive, it is negative", "positive"), ("positively", ""), ("NEGATIVE", "negative"),
    ("neutral", ""), ("", ""), ("(negative)", "negative")])
def test_the_label_that_is_named_first_counts(response, label):
    assert named_label(response, ("positive", "negative")) == label


def test_a_label_stands_inside_chinese_and_the_longer_of_two_wins():
    assert named_label("这是正面评价", ("正面", "负面")) == "正面" and named_label("very good",
                                                                       ("very", "very good")) == "very good"
    task = Task(grader="label", labels=("正面", "负面"))
    assert grade(task, Item(id="i", turns=("q",), answers=("负面",)), "我觉得是负面的") == {"accuracy": 1.0, "named a label": 1.0}


def test_a_response_is_cut_where_the_task_says():
    assert cut("Paris\nQuestion: next", ("\nQuestion:", "###")) == "Paris" and cut("Paris", ("#", "")) == "Paris"


def test_several_task_files_on_the_command_line_are_all_tasks(tmp_path):
    """A head is TOML, and so is a CONFIG.toml: what stands behind --tasks is never taken for one."""
    (tmp_path / "config.toml").write_text("limit = 3\n")
    config = load(Evaluate, arguments=[str(tmp_path / "config.toml"), "--tasks", "a.toml", "b.jsonl", "c.toml", "--seed", "1"],
                  program="tutelage evaluate")
    assert (config.tasks, config.limit, config.seed) == (("a.toml", "b.jsonl", "c.toml"), 3, 1)


def test_over_all_of_labels_is_scikit_learns():
    labels = ("good", "bad", "level")
    wanted = ["good", "good", "bad", "bad", "bad", "level", "level", "good"]
    said = ["Good.", "bad, not good", "bad", "BAD!", "no idea", "level", "good", "bad"]
    items = [Item(id=str(at), turns=("q",), answers=(answer,)) for at, answer in enumerate(wanted)]
    found = over_all(Task(grader="label", labels=labels), items, said)
    named = [named_label(each, labels) for each in said]
    theirs = precision_recall_fscore_support(wanted, named, labels=labels, average="macro", zero_division=0)
    assert (found["precision"], found["recall"], found["F1"]) == pytest.approx(theirs[:3], abs=1e-9)
    matrix = confusion_matrix(wanted, named, labels=[*labels, ""])[:3]
    assert [list(row.values()) for row in found["confusion"].values()] == matrix.tolist()
    both = over_all(Task(grader="label", labels=labels), [Item(id="i", turns=("q",), answers=("good", "level"))], ["level"])
    assert both["confusion"]["level"]["level"] == 1 and both["classes"]["level"]["f1"] == 1.0


def test_over_all_of_a_corpus_is_sacrebleus_and_not_the_mean_of_sentences():
    said = ["the cat sat on the mat", "a dog ran through the park today"]
    wanted = ["the cat sat on a mat", "a dog ran in the park"]
    items = [Item(id=str(at), turns=("q",), answers=(each,)) for at, each in enumerate(wanted)]
    found = over_all(Task(grader="bleu", stop=("###",)), items, [f"{each}### more" for each in said])
    assert found == over_all(Task(grader="chrf", stop=("###",)), items, said)
    assert found["corpus BLEU"] == pytest.approx(BLEU().corpus_score(said, [wanted]).score / 100, abs=1e-9)
    assert found["corpus chrF"] == pytest.approx(CHRF().corpus_score(said, [wanted]).score / 100, abs=1e-9)
    means = [grade(Task(grader="bleu"), item, each)["BLEU"] for item, each in zip(items, said, strict=True)]
    assert abs(found["corpus BLEU"] - sum(means) / 2) > 0.01
    assert over_all(Task(), items, said) == {}
