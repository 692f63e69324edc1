"""Figures of classifiers: by hand, and scikit-learn's to the last digits."""

from __future__ import annotations

import random

import pytest
from sklearn import metrics
from sklearn.preprocessing import MultiLabelBinarizer

from tutelage.class_metrics import measure, table_rows

NAMES = ["a", "b", "c", "d", "never"]


def test_by_hand() -> None:
    # a: 2 of 3 found, 2 of 2 said right; b: found, and said once too often; c: never said
    measured = measure(["a", "b", "c"], [[0], [0], [0], [1], [2]], [[0], [0], [1], [1], [1]], multi=False)
    assert measured["accuracy"] == 3 / 5 and measured["rows"] == 5
    assert measured["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 1, 0]]
    a, b, c = measured["classes"].values()
    assert (a["precision"], a["recall"], a["f1"]) == (1.0, 2 / 3, 0.8)
    assert (b["precision"], b["recall"], b["f1"]) == (1 / 3, 1.0, 0.5)
    assert (c["precision"], c["recall"], c["f1"], c["support"]) == (0.0, 0.0, 0.0, 1)
    assert measured["macro"]["f1"] == pytest.approx(1.3 / 3) and measured["weighted"]["f1"] == pytest.approx((2.4 + 0.5) / 5)


def test_several_labels_by_hand() -> None:
    measured = measure(["a", "b"], [[0, 1], [], [1]], [[0], [0], [1]], multi=True)
    assert measured["accuracy"] == 1 / 3, "only the last is right in all of its labels"
    assert measured["confusion"] == {"a": [[1, 1], [0, 1]], "b": [[1, 0], [1, 1]]}
    assert measured["classes"]["b"]["accuracy"] == 2 / 3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("multi", [False, True])
def test_every_figure_is_scikit_learns(seed: int, multi: bool) -> None:
    draw = random.Random(seed)
    count, classes = draw.randrange(1, 60), range(5)

    def some() -> list[int]:
        return sorted(draw.sample(range(4), draw.randrange(4))) if multi else [draw.randrange(4)]

    truth = [some() for _ in range(count)]
    given = [each if draw.random() < 0.5 else some() for each in truth]
    measured = measure(NAMES, truth, given, multi)
    if multi:
        binary = MultiLabelBinarizer(classes=list(classes)).fit([[]])
        y, z = binary.transform(truth), binary.transform(given)
    else:
        y, z = [each[0] for each in truth], [each[0] for each in given]
    assert measured["accuracy"] == pytest.approx(metrics.accuracy_score(y, z), abs=1e-12)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, z, labels=list(classes), zero_division=0)
    for index, each in enumerate(measured["classes"].values()):
        assert each["precision"] == pytest.approx(precision[index], abs=1e-12)
        assert each["recall"] == pytest.approx(recall[index], abs=1e-12)
        assert each["f1"] == pytest.approx(f1[index], abs=1e-12)
        assert each["support"] == support[index]
    for way in ("macro", "weighted"):
        wanted = metrics.precision_recall_fscore_support(y, z, labels=list(classes), average=way, zero_division=0)
        for figure, value in zip(("precision", "recall", "f1"), wanted, strict=False):
            assert measured[way][figure] == pytest.approx(value, abs=1e-12), (way, figure)
    if multi:
        theirs = metrics.multilabel_confusion_matrix(y, z, labels=list(classes))
        assert list(measured["confusion"].values()) == theirs.tolist()
        for index, each in enumerate(measured["classes"].values()):
            assert each["accuracy"] == pytest.approx(metrics.accuracy_score(y[:, index], z[:, index]), abs=1e-12)
    else:
        assert measured["confusion"] == metrics.confusion_matrix(y, z, labels=list(classes)).tolist()


def test_the_table_has_a_line_a_class_and_both_means() -> None:
    columns, rows = table_rows(measure(["a", "b"], [[0], [1]], [[0], [0]], multi=False))
    assert len(columns) == 5 and all(len(row) == 5 for row in rows)
    assert [row[0] for row in rows] == ["a", "b", "mean, macro", "mean, weighted"]
