"""The rules against their corpus, against numbers a reader can check, and against what glues itself to a number."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from stdnum import luhn as stdnum_luhn
from stdnum.cn import ric

from tutelage.privacy import KINDS, find
from tutelage.privacy.identity import resident_checksum
from tutelage.privacy.money import luhn

ROOT = Path(__file__).parents[2]
CHECKED = ("national_id", "bank_card", "iban", "company_id")
ONE_OF_EACH = {
    "email": "ann.lee@example.org", "phone": "13812345678", "national_id": "11010519491231002X",
    "bank_card": "4111111111111111", "iban": "DE89370400440532013000", "company_id": "91110000600037341L",
    "plate": "京A12345", "ip": "203.0.113.9"}


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table = load("docs/privacy_table.py")


def share(fold: str | None, kind: str, of: str) -> float:
    counts, _ = table.count(table.cases(fold))
    whole = counts[kind, "wanted"] if of == "recall" else counts[kind, "right"] + counts[kind, "wrong"]
    return counts[kind, "right"] / whole


def test_the_corpus_is_what_its_templates_give() -> None:
    made = [json.dumps(each, ensure_ascii=False) for each in load("tests/privacy/make_corpus.py").corpus()]
    assert (ROOT / "tests/privacy/corpus.jsonl").read_text(encoding="utf-8").splitlines() == made
    rows = table.cases()
    assert len(rows) >= 300 and min(sum(row["language"] == each for row in rows) for each in ("en", "zh")) > 100
    assert sum(not row["findings"] for row in rows) > 100, "near misses"
    assert {each["kind"] for row in rows for each in row["findings"]} == set(KINDS)


@pytest.mark.parametrize("kind", CHECKED)
def test_kinds_with_a_checksum_are_found_and_little_else_is_taken_for_them(kind: str) -> None:
    assert share(None, kind, "recall") >= 0.95 and share("held_out", kind, "recall") >= 0.95
    assert share(None, kind, "precision") >= 0.95


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("name", "address")])
def test_the_other_kinds_too(kind: str) -> None:
    assert share("held_out", kind, "recall") >= 0.9 and share("held_out", kind, "precision") >= 0.9
    assert share("challenge", kind, "recall") >= 0.9


def test_the_documented_table_is_the_measured_one() -> None:
    text = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    assert table.page(text) == text, "run `python docs/privacy_table.py`"


def test_check_digits_by_hand() -> None:
    # Luhn's own example; and the resident card of GB 11643's appendix: 1*7+1*9+0+1*5+... = 167, 167 mod 11 = 2, "X"
    assert luhn("79927398713") and not luhn("79927398710")
    assert resident_checksum("11010519491231002X") and not resident_checksum("110105194912310021")


def test_check_digits_agree_with_python_stdnum() -> None:
    for serial in range(300):
        body = f"11010519491231{serial:03d}"
        right = ric.calc_check_digit(body + "0")
        assert [digit for digit in "0123456789X" if resident_checksum(body + digit)] == [right]
        assert [digit for digit in "0123456789" if luhn(body + digit)] == [stdnum_luhn.calc_check_digit(body)]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_han_characters_on_both_sides_change_nothing(kind: str) -> None:
    value = ONE_OF_EACH[kind]
    for text, start in ((f"是{value}的", 1), (f"（{value}）", 1), (value, 0), (f"x {value}, y", 2)):
        assert [(each.kind, each.start, each.end) for each in find(text)] == [(kind, start, start + len(value))], text


@pytest.mark.parametrize("kind", ["phone", "national_id", "bank_card", "company_id", "email"])
def test_characters_of_full_width_are_found_where_they_stand(kind: str) -> None:
    wide = "".join(chr(ord(each) + 0xFEE0) for each in ONE_OF_EACH[kind])
    assert [(each.kind, each.start, each.end) for each in find(f"号：{wide}。")] == [(kind, 2, 2 + len(wide))]


@pytest.mark.parametrize("kind", CHECKED)
def test_a_wrong_digit_is_nobodys_number_unless_the_words_say_so(kind: str) -> None:
    value = ONE_OF_EACH[kind]
    for at in range(6, len(value) - 1):
        if value[at].isdigit():
            wrong = value[:at] + str((int(value[at]) + 1) % 10) + value[at + 1:]
            assert not find(f"x {wrong} y", kinds=[kind]), wrong


def test_words_decide_over_numbers_that_look_alike() -> None:
    assert find("身份证110105194912310021")[0].checksum is False
    assert find("card number 4111111111111112")[0].checksum is False
    assert find("card number 4111111111111111")[0].checksum is True
    assert not find("订单号4111111111111111") and not find("Order 4111111111111111")
    assert [each.kind for each in find("订单号4111111111111111，卡号4111111111111111")] == ["bank_card"]


def test_kinds_can_be_chosen_and_a_number_does_not_become_another_kind() -> None:
    text = "card 4111111111111111, mail ann@example.org"
    assert [each.kind for each in find(text, kinds=["email"])] == ["email"]
    assert not find("手机是11010519491231002X", kinds=["phone"])
    assert not find(text, min_confidence=1.0)
    with pytest.raises(ValueError, match="no kind horoscope of personal data"):
        find("x", kinds=["horoscope"])


def test_findings_are_in_order_and_do_not_overlap() -> None:
    text = "".join(f"甲{value}乙" for value in ONE_OF_EACH.values())
    found = find(text)
    assert [each.kind for each in found] == list(ONE_OF_EACH)
    assert all(first.end <= second.start for first, second in pairwise(found))


@pytest.mark.parametrize("text", ["", " ", "1" * 20_000, "1 " * 10_000, "张" * 20_000 + "1号", "北京市" * 2_000 + "1号",
                                  "a@" * 10_000, "[at]a" * 5_000, "2001:" * 5_000, "Name: " * 5_000, "+1 " * 5_000,
                                  "\ud800\x00 1", "🙂" * 1000 + "13812345678", "1 A" * 5_000 + " Street"],
                         ids=lambda text: repr(text[:8]))
def test_hostile_text_comes_to_an_end(text: str) -> None:
    assert all(0 <= each.start < each.end <= len(text) for each in find(text))
