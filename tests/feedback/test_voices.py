"""The store's judgments one voice at a time."""

from __future__ import annotations

from typing import Any

from feedback_records import NAILS, PLANET, say

from tutelage.feedback.kinds import new_judgment
from tutelage.feedback.voices import speech
from tutelage.project import Project
from tutelage.records import Sample
from tutelage.store import Store


def test_every_voice_with_its_kind_its_place_and_its_samples(store: Store, project: Project) -> None:
    good, bad, fair = say(PLANET, "Mercury, and Jupiter."), say(PLANET, "Planets."), say(NAILS, "Cut them short.")

    def judged(who: str, kind: str, shown: tuple[Sample, ...], **answer: Any) -> Any:
        return new_judgment(kind, who, "human", shown[0].prompt, [sample.id for sample in shown], answer)

    for who in ("ann", "bob"):
        store.add_person(who, "human", who)
    store.add_samples([good, bad, fair])
    rating = judged("ann", "rating", (fair,), scores={"helpful": 4})
    store.add_judgments([judged("ann", "comparison", (good, bad), winner="a", strength=2),
                         judged("bob", "comparison", (good, bad), winner="b", strength=1),
                         rating, judged("bob", "thumbs", (fair,), up=True)])
    found = speech(project, store)
    pair = tuple(sorted((good.id, bad.id)))
    assert sorted((each.term.person, each.kind, each.chosen_first, each.samples) for each in found.pairs) == [
        ("ann", "comparison", True, pair), ("bob", "comparison", False, pair)]
    assert [each.scores for each in found.ratings] == [{"helpful": 4.0}] and [each.up for each in found.thumbs] == [True]
    assert found.samples[rating.id] == (fair.id,)
    assert set(found.prompts) == {PLANET.messages, NAILS.messages}
