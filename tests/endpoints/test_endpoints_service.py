"""`oito serve` on a real project: by features and by keys, one bad row, whatever a caller may send, a release under load."""

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oito.endpoints import journal
from oito.endpoints.loading import journal_folder, signature_of
from oito.endpoints.offline import answered, completed
from oito.workspace import Workspace

Serve = Callable[..., Any]
KEYS = {"ride_id": 5000, "asked_at": "2026-01-26T12:00:00Z", "driver": "D03", "zone": "hills", "distance": 7.5}
WHOLE = {"zone": "hills", "distance": 7.5, "driver_delay": 7.5, "hour": 12, "is_long": True}
DRIVERS = [f"D{number:02d}" for number in range(12)]


def asked(service: Any, *rows: dict[str, Any]) -> list[Any]:
    status, answer = service.call("/predict", {"rows": list(rows)})
    assert status == 200, answer
    found: list[Any] = answer["predictions"]
    return found


def test_it_says_what_it_serves_and_where_production_first_after_a_release(serve: Serve) -> None:
    service = serve()
    pattern = r"delay_risk:v1 of production answers at http://127\.0\.0\.1:\d+/predict\n"
    assert re.fullmatch(pattern, service.told), service.log()
    assert service.call("/")[1]["model"] == "late_ride:v1"
    assert service.stop() == 0


def test_another_environment_is_served_when_it_is_named(serve: Serve) -> None:
    assert "delay_risk:v1 of dev answers" in serve("-e", "dev").told


def test_keys_and_whole_rows_are_answered_alike(house: Any) -> None:
    """Online features are bit for bit what the offline as-known join says for the same moment."""
    service, site = house.service, house.workspace.site
    questions = [{**KEYS, "ride_id": 5000 + n, "driver": driver} for n, driver in enumerate(DRIVERS)]
    by_keys = asked(service, *questions)
    version = site.catalog.find("delay_risk", "production")
    frame = completed(site, version, pl.DataFrame(questions))
    names = list(signature_of(version).names)
    assert frame["driver_delay"].null_count() == 0
    by_features = asked(service, *frame.select(names).to_dicts())
    assert [a["prediction"] for a in by_keys] == [a["prediction"] for a in by_features]
    matrix, answers, _ = answered(site, version, pl.DataFrame(questions))
    assert [a["prediction"] for a in by_keys] == answers[:, 0].tolist()
    for given in (by_keys, by_features):
        seen = [journal.find(journal_folder(site, "delay_risk"), a["prediction_id"]).features for a in given]
        assert np.array(seen).tobytes() == matrix.tobytes()


def test_a_bad_row_costs_its_neighbours_nothing(house: Any) -> None:
    service = house.service
    rows = [{**KEYS, "ride_id": n} for n in range(70)]
    rows[13] = {**KEYS, "distance": "far"}
    rows[40] = {name: value for name, value in KEYS.items() if name != "driver"}
    found = asked(service, *rows)
    assert found[13]["what"] == "distance is 'far' (str)"
    assert found[40]["what"] == "the field 'driver' is missing"
    rest = [each["prediction"] for place, each in enumerate(found) if place not in {13, 40}]
    assert len(rest) == 68
    assert set(rest) == {asked(service, KEYS)[0]["prediction"]}


def test_an_unknown_entity_is_answered_with_its_features_missing(house: Any) -> None:
    service = house.service
    unknown, missing = asked(service, {**KEYS, "driver": "nobody"}, {**WHOLE, "driver_delay": None})
    assert unknown["prediction"] == missing["prediction"]


def test_features_older_than_their_ttl_are_missing_and_the_future_is_never_used(house: Any) -> None:
    service = house.service
    late, early, missing = asked(
        service,
        {**KEYS, "asked_at": "2026-03-26T12:00:00Z"},
        {**KEYS, "asked_at": "2026-01-02T12:00:00Z"},
        {**WHOLE, "driver_delay": None},
    )
    assert late["prediction"] == early["prediction"] == missing["prediction"]


def test_a_question_without_a_time_is_asked_at_the_workspaces_now(house: Any) -> None:
    service = house.service
    timeless = {name: value for name, value in KEYS.items() if name != "asked_at"}
    now, told = asked(service, timeless, {**KEYS, "asked_at": "2026-01-27T00:00:00Z"})
    assert now["prediction"] == told["prediction"]
    rows = house.workspace["delay_risk"].read()
    times = rows.filter(pl.col("prediction_id").is_in([now["prediction_id"], told["prediction_id"]])).select(
        "at", "asked_at"
    )
    assert times.rows() == [(datetime(2026, 1, 27, tzinfo=UTC),) * 2] * 2


BAD: list[tuple[bytes, int, str]] = [
    (json.dumps({"driver": "D03", "zone": "hills"}).encode(), 400, "the field 'distance' is missing"),
    (json.dumps({**KEYS, "distanse": 1}).encode(), 400, "the field 'distanse' is not known"),
    (json.dumps({**WHOLE, "hour": "noon"}).encode(), 400, "hour is 'noon' (str)"),
    (json.dumps({**KEYS, "driver": 3}).encode(), 400, "driver is 3 (int)"),
    (json.dumps({**KEYS, "ride_id": 2**70}).encode(), 400, f"ride_id is {2**70} (int)"),
    (json.dumps({**KEYS, "asked_at": "yesterday"}).encode(), 400, "asked_at is 'yesterday' (str)"),
    (json.dumps({**KEYS, "distance": float("nan")}).encode(), 400, "the body is no JSON"),
    (json.dumps({**KEYS, "distance": float("inf")}).encode(), 400, "the body is no JSON"),
    (b'{"zone": "hills", ', 400, "the body is no JSON"),
    (b"", 400, "the body is empty"),
    (b"[1, 2]", 400, "the body is no JSON object"),
    (b'{"zone": "' + b"x" * 50_000_000 + b'"}', 413, "the body is too large"),
]


def test_whatever_a_caller_sends_is_told_what_is_wrong_with_it(house: Any) -> None:
    service = house.service
    for body, status, what in BAD:
        try:
            found, answer = service.call("/predict", body)
        except (BrokenPipeError, ConnectionResetError):
            assert status == 413  # the server hung up before all of it was sent
            continue
        assert (found, answer["what"]) == (status, what)
    misspelt = service.call("/predict", {"zone": "hills", "distanse": 1})[1]
    assert (misspelt["what"], misspelt["next"]) == ("the field 'distanse' is not known", "did you mean 'distance'?")
    assert service.call("/predict", KEYS)[0] == 200
    assert service.log() == ""


def test_feedback_is_joined_and_that_for_an_unknown_prediction_is_kept(house: Any) -> None:
    service = house.service
    prediction = asked(service, KEYS)[0]["prediction_id"]
    assert service.call("/feedback", {"prediction_id": prediction, "truth": True})[0] == 200
    status, answer = service.call("/feedback", {"prediction_id": "0" * 32, "truth": False})
    assert (status, answer["error"]) == (404, "UnknownPrediction")
    assert answer["known"] == "the truth is kept, and counts as soon as the prediction is known"
    rows = house.workspace["delay_risk"].read().filter(pl.col("prediction_id") == prediction)
    assert rows.select("truth", "ride_id", "x_zone").rows() == [("true", 5000, "hills")]


def test_a_changed_byte_of_the_executor_is_refused_at_load(serve: Serve, production: Workspace) -> None:
    version = production.catalog.find("delay_risk", "production")
    digest = version.files["trees.onnx"]
    path = next(
        path
        for path in (production.root / ".oito" / "files").rglob("*")
        if path.is_file() and digest.endswith(path.name)
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    service = serve()
    assert service.told == ""
    assert service.stop() == 5
    assert "CorruptFile" in service.log()
    assert "Traceback" not in service.log()


class Asking:
    """Clients that ask by keys without pause until they are ended."""

    def __init__(self, service: Any, *, clients: int = 3) -> None:
        self.service, self.over = service, threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failures: list[Any] = []
        self.threads = [threading.Thread(target=self.ask, args=(n,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self, number: int) -> None:
        row = {**KEYS, "driver": DRIVERS[number]}
        body = json.dumps({"rows": [row] * 5} if number else row)
        with closing(self.service.connect()) as connection:
            while not self.over.is_set():
                try:
                    connection.request("POST", "/predict", body)
                    answer = json.loads(connection.getresponse().read())
                except OSError as error:
                    self.failures.append(error)
                    return
                found = answer.get("predictions", [answer])
                self.answers += found
                self.failures += [each for each in found if "prediction_id" not in each]

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_a_release_with_new_code_and_new_features_takes_over_without_a_failed_request(
    serve: Serve, rides: Path, oito: Callable[..., None]
) -> None:
    service = serve()
    load = Asking(service)
    project = rides / "project.py"
    text = project.read_text()
    text = text.replace(
        'past.alias("driver_delay"))', 'past.alias("driver_delay"), pl.col("delay").alias("last_delay"))'
    )
    text = text.replace("[:, 1] * 1.0", "[:, 1] * 0.5").replace("> 5).alias", "> 6).alias")
    project.write_text(text)
    oito("run")
    before = service.call("/predict", KEYS)[1]
    oito("release", "production")
    deadline = time.monotonic() + 20
    while service.call("/")[1]["version"] != "delay_risk:v2":
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.02)
    after = service.call("/predict", KEYS)[1]
    load.end()
    assert load.failures == []
    assert (before["model"], after["model"]) == ("late_ride:v1", "late_ride:v2")
    assert after["prediction"] <= 0.5
    assert "last_delay" in service.call("/")[1]["fields"]
    assert {answer["model"] for answer in load.answers} == {"late_ride:v1", "late_ride:v2"}


def test_a_thousand_predictions_under_load_replay_bit_equal_after_kill_9(serve: Serve, production: Workspace) -> None:
    from oito.endpoints import predictions

    service = serve()
    load = Asking(service)
    deadline = time.monotonic() + 30
    while len(load.answers) < 1200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    service.stop(9)
    load.end()
    site = production.site
    lines: list[str] = []
    done = predictions.replay_blocks(site, predictions.newest(site, 1000), 1000, tell=lines.append)
    assert len(done) == 1000
    assert all(each.is_equal for each in done)
    answers = {each["prediction_id"]: each["prediction"] for each in load.answers if "prediction_id" in each}
    kept = {each.id.hex(): float(each.stored[0]) for each in done}
    assert set(answers) <= {i.hex() for b in journal.read(journal_folder(site, "delay_risk")) for i in b.ids}
    assert all(answers[name] == value for name, value in kept.items() if name in answers)
