"""No error reaches a page in one language only: every message that can, is found in the sources and in the catalogue."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import catalogues
import error_sites

from tutelage.errors import DataError
from tutelage.web.error_words import HOLE, ErrorWords

CATALOGUE = json.loads((error_sites.PACKAGE / "web/locales/errors.zh-CN.json").read_text(encoding="utf-8"))
WORDS = ErrorWords(CATALOGUE["messages"], CATALOGUE["words"])
HAN = re.compile("[\u4e00-\u9fff]")


def test_every_error_a_page_can_show_is_in_the_catalogue_and_no_other_is() -> None:
    said = dict.fromkeys(message for _, message in error_sites.sites())
    assert [where for where, message in error_sites.sites() if message is None] == [], "write the message where it is raised"
    known = set(CATALOGUE["messages"])
    missing = [(where, message) for where, message in error_sites.sites() if message not in known]
    assert missing == [], "translate these in tutelage/web/locales/errors.zh-CN.json"
    assert known - set(said) == set(), "no longer said"


def test_the_modules_that_raise_them_are_found() -> None:
    found = {str(path.relative_to(error_sites.PACKAGE)) for path in error_sites.modules()}
    assert {"store/tasks.py", "store/postgresql.py", "feedback/kinds/spans.py", "studio/items.py", "data/datasets.py",
            "project.py", "messages.py", "web/passwords.py"} <= found
    assert all((error_sites.PACKAGE / name).is_file() for name in error_sites.NOT_SHOWN) and len(found) > 80


@pytest.mark.parametrize("shape", CATALOGUE["messages"])
def test_a_translation_is_chinese_and_keeps_all_that_is_filled_in(shape: str) -> None:
    number, said = shape.count("{}"), CATALOGUE["messages"][shape]
    assert HAN.search(said) and {int(hole) for hole in HOLE.findall(said)} == set(range(number))
    filled = [f"<{at}>" for at in range(number)]
    message = shape.format(*filled) if number else shape
    assert WORDS.say(message) == HOLE.sub(lambda hole: filled[int(hole[1])], said)


def test_every_name_of_a_field_is_translated() -> None:
    """The names that `_number` puts into its message are words of ours, not what somebody typed."""
    source = (error_sites.PACKAGE / "studio/new_campaign.py").read_text(encoding="utf-8")
    names = {node.args[0].value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name) and node.func.id == "_number" and isinstance(node.args[0], ast.Constant)}
    assert len(names) > 10 and names <= set(CATALOGUE["words"])
    chinese = {str(message.id).partition(" (")[0].lower(): str(message.string).partition("（")[0]
               for message in catalogues.catalogue("studio", "zh-CN") if isinstance(message.id, str)}
    assert {name: CATALOGUE["words"][name] for name in names} == {name: chinese.get(name) for name in names}, \
        "a field is called in a message as it is called in the form"


def test_what_people_typed_is_kept_and_messages_stand_inside_others() -> None:
    assert WORDS.say("there is a campaign 'Ä {0} .*' already. Choose another name.") == "已有名为 'Ä {0} .*' 的活动，请另选名称。"
    assert WORDS.say("seed: got '-1'; wanted a whole number from 0 to 9.") == "随机种子：得到 '-1'；应为 0 到 9 的整数。"
    inner = "no artifact 'x' in p. There are: none."
    assert WORDS.say("no model 'x': not a built-in name, a model directory, a .gguf file or hf:org/name, and " + inner) == (
        "没有模型 'x'：它不是内置名称、模型目录、.gguf 文件或 hf:org/name，并且 p 中没有工件 'x'。现有：无。")
    assert WORDS.say("nobody ever said this") == "nobody ever said this"
    assert ErrorWords({}, {}).say("there is no item 'x'.") == "there is no item 'x'."


def test_pages_show_errors_of_lower_rooms_in_chinese(browser, store) -> None:  # type: ignore[no-untyped-def]
    lead = browser("lead", language="zh-CN")
    form = {"name": "x", "kind": "comparison", "per_prompt": "1", "overlap": "many", "lease_min": "15", "seed": "0"}
    answer = lead.post("/campaigns/new", form)
    assert answer.status_code == 422 and "每项人数：得到 &#39;many&#39;；应为 1 到 1000 的整数。" in answer.text
    asked = browser("annotator", language="zh-CN").send("/api/keys", {"kind": "comparison", "keys": {"tie": "x", "undo": "x"}})
    assert (asked.status_code, asked.json()) == (400, {"error": "两个操作不能用同一个键。"})
    entry = {"op": "answer", "task": "t0", "key": "k" * 16, "answer": {"winner": "a", "strength": 1}}
    kept = browser("annotator", language="zh-CN").send("/api/outbox", {"person": "annotator", "entries": [entry]})
    assert kept.json()["results"] == [{"key": "k" * 16, "status": "refused", "message": "没有任务 't0'。"}]
    assert browser("annotator").send("/api/outbox", {"person": "annotator", "entries": [entry]}).json()["results"][0][
        "message"] == str(DataError("there is no task 't0'."))
