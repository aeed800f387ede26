"""Truths sent back: kept for known and unknown predictions, once each, corrections beside what they correct."""

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oito.endpoints import feedback, segment
from oito.errors import CorruptFile

ROW = {"carrier": "UA", "distance": 70, "hub": True}
STRANGER = "0142f3c4c0007000a480203476f3fc41"


def _predicted(serving: Any) -> str:
    return str(serving.call("/predict", ROW)[1]["prediction_id"])


def _truths(folder: Path) -> list[tuple[str, Any]]:
    return [(row.prediction_id.hex(), row.truth) for row in feedback.read(folder)]


def test_the_truth_of_a_prediction_is_kept_and_survives_kill_9(serving: Any) -> None:
    known = _predicted(serving)
    told = {"prediction_id": known, "truth": True, "at": "2013-11-01T06:30:00Z"}
    assert serving.call("/feedback", told) == (200, {"prediction_id": known, "kept": True})
    serving.stop(signal.SIGKILL)
    frame = feedback.frame(serving.journal)
    assert frame.select("prediction_id", "truth", "at", "is_known").rows() == [
        (known, "true", datetime(2013, 11, 1, 6, 30, tzinfo=UTC), True)
    ]


def test_an_unknown_prediction_is_a_404_but_its_truth_is_parked_and_counted(serving: Any) -> None:
    status, answer = serving.call("/feedback", {"prediction_id": STRANGER, "truth": 1})
    assert (status, answer["error"]) == (404, "UnknownPrediction")
    assert answer["what"] == f"no prediction has the id {STRANGER}"
    assert answer["known"] == "the truth is kept, and counts as soon as the prediction is known"
    assert [(row.prediction_id.hex(), row.is_known) for row in feedback.read(serving.journal)] == [(STRANGER, False)]
    assert 'oito_feedback_total{known="false"} 1' in serving.call("/metrics")[1]


def test_the_same_truth_twice_counts_once_and_a_correction_is_kept_beside(serving: Any) -> None:
    known = _predicted(serving)
    for truth in (0, 0, 1, 0):
        assert serving.call("/feedback", {"prediction_id": known, "truth": truth})[0] == 200
    assert _truths(serving.journal) == [(known, 0), (known, 1)]


def test_many_truths_are_told_apart_row_by_row(serving: Any) -> None:
    known = _predicted(serving)
    rows = [
        {"prediction_id": known, "truth": "late"},
        {"prediction_id": STRANGER, "truth": 1.5},
        {"prediction_id": "no id", "truth": 1},
        {"prediction_id": known},
        {"prediction": known, "truth": 1},
        {"prediction_id": known, "truth": 1, "at": "yesterday"},
        {"prediction_id": known, "truth": 10**30},
        7,
    ]
    status, answer = serving.call("/feedback", {"rows": rows})
    assert status == 200
    errors = [row.get("error") for row in answer["feedback"]]
    assert (
        errors == [None, "UnknownPrediction", "BadRequest", "BadRequest", "BadRequest", "BadInput"] + ["BadRequest"] * 2
    )
    assert [row["what"] for row in answer["feedback"][2:]] == [
        "prediction_id is no prediction id",
        "truth is missing or no plain value",
        "the field 'prediction' is not known",
        "'yesterday' is not a date or time",
        "truth is too large for a number",
        "a feedback row is no object",
    ]
    assert answer["feedback"][4]["next"] == "did you mean 'prediction_id'?"
    assert _truths(serving.journal) == [(known, "late"), (STRANGER, 1.5)]


def test_no_feedback_rows_are_answered_with_nothing(serving: Any) -> None:
    assert serving.call("/feedback", {"rows": []}) == (200, {"feedback": []})
    assert serving.call("/feedback", b"{")[1]["what"] == "the body is no JSON"


def test_a_flipped_byte_in_feedback_is_named(serving: Any) -> None:
    for truth in range(5):
        serving.call("/feedback", {"prediction_id": STRANGER, "truth": truth})
    (path,) = segment.paths(serving.journal, "feedback")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=f"the journal segment {path.name} is damaged"):
        _truths(serving.journal)
    left = [json.dumps(row.truth) for row in feedback.read(serving.journal, damaged=lambda _: None)]
    assert len(left) == 4
