"""Turns are taken in the order of asking; who gives up leaves the queue whole."""

import threading
import time

import pytest

from tutelage.errors import StoreError
from tutelage.store import Store
from tutelage.store.turns import Turns


def test_turns_come_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def wait(number: int) -> None:
        with turns.mine(60):
            order.append(number)

    with turns.mine(60):
        threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
        for number, thread in enumerate(threads):
            thread.start()
            while len(turns._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(60)
    assert order == list(range(20)) and not turns._is_taken


def test_who_gives_up_is_passed_over() -> None:
    turns, came = Turns(), []

    def wait() -> None:
        with turns.mine(60):
            came.append(True)

    with turns.mine(60):
        with pytest.raises(TimeoutError), turns.mine(0.01):
            raise AssertionError("two at once")
        patient = threading.Thread(target=wait)
        patient.start()
        assert not came
    patient.join(60)
    assert came == [True]
    with turns.mine(0):            # free again
        pass


def test_a_failure_inside_gives_the_turn_back() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.mine(1):
        raise ZeroDivisionError
    with turns.mine(0):
        pass


def test_a_thread_that_writes_too_long_is_an_error_in_words(tmp_path: object) -> None:
    with Store.open(f"{tmp_path}/feedback.db", busy_timeout_s=0.05) as store, store._writing(), \
            pytest.raises(StoreError, match="another thread has been writing"):
        store.add_person("ada", "human", "Ada")
