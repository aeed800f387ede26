"""What an answer promises: it is in the journal after kill -9, a full disk answers nobody, a swap or a stop drops nobody."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from oito.endpoints import journal

ROW = {"carrier": "UA", "distance": 70, "hub": True}


class Load:
    """Clients that ask without pause, each on a connection of its own, and remember every answer they got."""

    def __init__(self, serving: Any, *, clients: int = 6) -> None:
        self._serving, self._over = serving, threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        body = json.dumps({"rows": [ROW] * 3} if number % 3 == 0 else ROW)
        with closing(self._serving.connect()) as connection:
            while not self._over.is_set():
                try:
                    connection.request("POST", "/predict", body)
                    answer = connection.getresponse()
                    content = json.loads(answer.read())
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.failures.append(repr(error))
                    return
                if answer.status != 200:
                    self.failures.append(str(content))
                    return
                self.answers += content.get("predictions", [content])

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_every_acknowledged_prediction_survives_kill_9(start: Callable[..., Any]) -> None:
    acknowledged: list[str] = []
    for round_ in range(5):
        serving = start()
        load = Load(serving)
        time.sleep(0.15 + 0.05 * round_)
        serving.stop(signal.SIGKILL)
        load.end()
        assert len(load.answers) > 20
        acknowledged += [answer["prediction_id"] for answer in load.answers]
    kept = [name.hex() for block in journal.read(serving.journal) for name in block.ids]
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert journal.find(serving.journal, acknowledged[0]).id.hex() == acknowledged[0]


def test_a_full_disk_is_a_503_and_nothing_answered_is_missing(start: Callable[..., Any]) -> None:
    serving = start("fsize=20000")
    acknowledged = []
    status, answer = serving.call("/predict", ROW)
    while status == 200:
        acknowledged.append(answer["prediction_id"])
        status, answer = serving.call("/predict", ROW)
    assert (status, answer["error"]) == (503, "StorageFull")
    assert answer["what"] == "the prediction journal cannot be written, so nothing is answered"
    assert serving.call("/predict", {"rows": [ROW, {"distance": 1}]})[0] == 503
    assert serving.call("/health")[0] == 200
    assert [name.hex() for block in journal.read(serving.journal) for name in block.ids] == acknowledged


def test_a_release_takes_over_under_load_without_a_failed_request(start: Callable[..., Any]) -> None:
    serving = start()
    load = Load(serving)
    for version in (2, 3):
        (serving.folder / "version").write_text(str(version))
        deadline = time.monotonic() + 20
        while serving.call("/")[1]["version"] != f"delay_risk:v{version}":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
    load.end()
    assert load.failures == []
    assert {answer["model"] for answer in load.answers} == {"late_flight:v1", "late_flight:v2", "late_flight:v3"}
    kept = {name.hex(): block.about.model for block in journal.read(serving.journal) for name in block.ids}
    assert all(kept[answer["prediction_id"]] == answer["model"] for answer in load.answers)


def test_a_release_that_cannot_be_read_leaves_the_old_one_serving(serving: Any) -> None:
    (serving.folder / "version").write_text("three")
    deadline = time.monotonic() + 20
    while "the newest release cannot be served" not in serving.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert serving.call("/predict", ROW)[1]["model"] == "late_flight:v1"


def test_sigterm_answers_what_has_arrived_and_ends_well(serving: Any) -> None:
    load = Load(serving)
    time.sleep(0.3)
    assert serving.stop(signal.SIGTERM) == 0
    load.end()
    kept = {name.hex() for block in journal.read(serving.journal) for name in block.ids}
    assert {answer["prediction_id"] for answer in load.answers} <= kept
    assert serving.log() == ""


def test_a_request_that_had_arrived_is_answered_after_sigterm(serving: Any) -> None:
    """The rows of a large request are scored in many turns, so the signal finds it under way."""
    told: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: told.append(serving.call("/predict", {"rows": [ROW] * 20_000})))
    asking.start()
    deadline = time.monotonic() + 20
    while not any(journal.read(serving.journal)):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert serving.stop(signal.SIGTERM) == 0
    asking.join()
    assert told[0][0] == 200
    assert len(told[0][1]["predictions"]) == 20_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_new_process_goes_on_in_the_same_folder(start: Callable[..., Any], number: int) -> None:
    first = start()
    _, before = first.call("/predict", ROW)
    first.stop(number)
    second = start()
    _, after = second.call("/predict", ROW)
    frame = journal.frame(second.journal)
    assert frame["prediction_id"].to_list() == [before["prediction_id"], after["prediction_id"]]
