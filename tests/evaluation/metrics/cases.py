"""Pairs of texts that metrics are held to their references on: English, Chinese, empty, identical, adversarial, random."""

from __future__ import annotations

import random

_WORDS = ["the", "a", "an", "cat", "dog", "sat", "mat", "on", "in", "of", "Paris", "river", "3.14", "e-mail", "don't", "U.S.",
          "is", "was,", "not;", "(very)", "big!", "42", "%", "“quoted”"]
_HAN = "北京是中国的首都，上海很大。猫坐在垫子上！我们2024年去了巴黎（法国）"
PLAIN = [
    ("The cat sat on the mat.", "The cat sat on a mat."), ("the cat", "The Cat!"), ("a an the", "the"),
    ("Paris", "paris, France"),
    ("It is 3.14.", "3.14"), ("yes", "no"), ("don't do it", "dont do it"), ("one two three four five", "one two three four five"),
    ("one one one one one one", "one two"), ("one two", "one one one one one one"), ("x " * 200, "x " * 3),
    ("reversed order of these words", "words these of order reversed"), ("U.S. troops", "US troops"),
    ("state-of-the-art", "state of the art"),
    ("naïve café", "naive cafe"), ("ÀÉÎ", "àéî"), ("tab\tand\nline", "tab and line"), ("  blanks  ", "blanks"), ("0", "0.0"),
    ("10,000", "10000"), ("a.b.c", "a b c"), ("$5.00", "5"), ("café\u0301", "café"), ("🙂 smile", "smile 🙂"),
    ("<b>bold</b>", "bold"),
    ("&amp; &lt;", "& <"), ("\u200bhidden", "hidden"), ("ſtraße", "STRASSE")]
CHINESE = [
    ("北京", "北京。"), ("首都是北京", "北京是首都"), ("中国的首都是北京。", "中国首都是北京"),
    ("我在2024年去了Paris", "我2024年去Paris了"),
    ("《红楼梦》", "红楼梦"), ("他说：“你好！”", "他说你好"), ("上海，广州", "广州、上海"),
    ("一二三四五六七八九十", "一二三四五六七八九十"),
    ("重复重复重复重复", "重复"), ("重复", "重复重复重复重复"), ("東京タワー", "东京塔"), ("ABC公司", "abc 公司"),
    ("１２３", "123"), ("〇", "零")]
EMPTY = [("", ""), ("", "something"), ("something", ""), ("...", "!!!"), ("the", ""), ("，。", "、"), (" \n ", "x"), ("北", "")]


def _random(seed: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    pairs = []
    for number in range(24):
        words = [rng.choice(_WORDS) for _ in range(rng.randint(1, 40))]
        other = [word for word in words if rng.random() < 0.7] + [rng.choice(_WORDS) for _ in range(rng.randint(0, 9))]
        if number % 3 == 2:
            words, other = list(_HAN[:rng.randint(1, 30)]), rng.sample(list(_HAN), rng.randint(1, 20))
        glue = "" if number % 3 == 2 else " "
        pairs.append((glue.join(words), glue.join(other)))
    return pairs


CASES = [*PLAIN, *CHINESE, *EMPTY, *_random(0)]
IDENTICAL = [(text, text) for text, _ in CASES]
EVERY = [*CASES, *IDENTICAL]
