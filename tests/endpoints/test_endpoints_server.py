"""A serving process from outside: what it answers, what it refuses and how, and that neighbours never suffer."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oito.endpoints import journal
from oito.endpoints.server import serve
from oito.errors import BadSetting

ROW = {"carrier": "UA", "distance": 70, "hub": True}
SAID = 0.1 + 10 + 1 / 3


def test_one_row_is_answered_with_prediction_id_and_model(serving: Any) -> None:
    status, answer = serving.call("/predict", ROW)
    assert status == 200
    assert set(answer) == {"prediction_id", "model", "prediction"}
    assert answer["model"] == "late_flight:v1"
    found = journal.find(serving.journal, answer["prediction_id"])
    assert found.features.tolist() == [1.0, 70.0, 1.0]
    assert found.outputs.tolist() == [answer["prediction"]] == [pytest.approx(SAID)]
    assert found.request == ROW


def test_missing_values_and_unknown_categories_are_answered(serving: Any) -> None:
    status, answer = serving.call("/predict", {"carrier": "ZZ", "distance": None, "hub": None})
    assert (status, answer["prediction"]) == (200, 0.0)
    assert np.isnan(journal.find(serving.journal, answer["prediction_id"]).features).all()


def test_a_bad_row_gets_its_own_error_and_its_neighbours_their_answers(serving: Any) -> None:
    rows = [ROW, {**ROW, "distance": "far"}, {**ROW, "distance": 666}, "row", {**ROW, "distance": 777}, ROW]
    status, answer = serving.call("/predict", {"rows": rows})
    assert status == 200
    good, typed, cursed, no_row, nan, last = answer["predictions"]
    assert good["prediction"] == last["prediction"] == pytest.approx(SAID)
    assert (typed["what"], typed["known"]) == ("distance is 'far' (str)", "distance takes a number or null")
    assert (cursed["error"], cursed["what"]) == ("StepFailed", "the endpoint's function failed on this row")
    assert no_row["what"] == "a row is no object"
    assert nan["prediction"] is None
    assert np.isnan(journal.find(serving.journal, nan["prediction_id"]).outputs[0])
    assert "this distance is cursed" in serving.log()


def test_zero_rows_are_answered_with_nothing(serving: Any) -> None:
    assert serving.call("/predict", {"rows": []}) == (200, {"predictions": []})


def test_thousands_of_rows_come_back_in_their_order(serving: Any) -> None:
    rows = [{**ROW, "distance": 5 * place} for place in range(3000)]
    _, answer = serving.call("/predict", {"rows": rows})
    said = [one["prediction"] for one in answer["predictions"]]
    assert said == [pytest.approx(0.1 + place * 5 / 7 + 1 / 3) for place in range(3000)]
    ids = [one["prediction_id"] for one in answer["predictions"]]
    assert ids == sorted(set(ids))


def test_a_row_has_the_same_bits_alone_in_a_batch_and_among_others(serving: Any) -> None:
    rows = [{**ROW, "distance": place / 3} for place in range(200)]
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda row: serving.call("/predict", row)[1], rows))
    _, batch = serving.call("/predict", {"rows": rows})
    for one, other in zip(alone, batch["predictions"], strict=True):
        first, second = (journal.find(serving.journal, each["prediction_id"]) for each in (one, other))
        assert first.features.tobytes() == second.features.tobytes()
        assert first.outputs.tobytes() == second.outputs.tobytes()


BAD_BODIES: list[tuple[bytes, str, str]] = [
    (b'{"carier":"UA","distance":7,"hub":true}', "the field 'carier' is not known", "did you mean 'carrier'?"),
    (b'{"carrier":"UA","hub":true}', "the field 'distance' is missing", ""),
    (b'{"carrier":"UA","distance":"7","hub":true}', "distance is '7' (str)", ""),
    (b'{"carrier":1,"distance":7,"hub":true}', "carrier is 1 (int)", ""),
    (b'{"carrier":"UA","distance":7,"hub":1}', "hub is 1 (int)", ""),
    (b'{"carrier":"UA","distance":%b,"hub":true}' % (b"9" * 400), "distance is too large for a number", ""),
    (b'{"carrier":"UA","distance":NaN,"hub":true}', "the body is no JSON", "never NaN or Infinity"),
    (b'{"carrier":"UA","distance":-Infinity,"hub":true}', "the body is no JSON", "never NaN or Infinity"),
    (b'{"carrier":"UA","distance":1e999,"hub":true}', "the body is no JSON", "never NaN or Infinity"),
    (b'{"carrier":', "the body is no JSON", "send one row"),
    (b'{"carrier":"\xff","distance":7,"hub":true}', "the body is no JSON", "send one row"),
    (b"[" * 100_000, "the body is nested too deeply", ""),
    (b"", "the body is empty", "send one row"),
    (b"[1]", "the body is no JSON object", "send one row"),
]


def test_every_bad_body_is_a_400_that_says_what_is_wrong(serving: Any) -> None:
    for body, what, following in BAD_BODIES:
        status, answer = serving.call("/predict", body)
        assert (status, answer["error"], answer["what"]) == (400, "BadRequest", what), body[:80]
        assert following in answer["next"]
    assert serving.call("/predict", ROW)[0] == 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        ["rows", "carrier", "distance", "hub", "prediction_id", "truth", "at", "inputs", "name", "x"]
                    ),
                    inner,
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_no_body_whatsoever_is_answered_with_a_5xx(serving: Any, body: object) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    for path in ("/predict", "/feedback", "/v2/models/delay_risk/infer"):
        status, answer = serving.call(path, data)
        assert status in (200, 400, 404), (path, data, answer)


def _raw(port: int, *pieces: bytes) -> bytes:
    """Send pieces over one connection and return everything until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_body_over_the_limit_is_refused_before_it_is_sent(serving: Any) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50000000\r\n\r\n"
    answer = _raw(serving.port, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["known"] == "the limit is 16 MiB"
    assert serving.call("/predict", bytes(50_000_000))[0] == 413
    endless = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    assert _raw(serving.port, endless, *[b"100000\r\n" + bytes(1 << 20) + b"\r\n"] * 17).startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_is_refused_and_the_server_lives_on(serving: Any) -> None:
    two_lengths = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"
    both = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"
    for nonsense in (b"\x16\x03\x01 hello\r\n\r\n", two_lengths, both, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        assert _raw(serving.port, nonsense).startswith(b"HTTP/1.1 400 Bad Request\r\n"), nonsense
    assert _raw(serving.port, b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000).startswith(b"HTTP/1.1 413 ")
    assert serving.call("/health") == (200, {"alive": True})


def test_pipelined_requests_are_answered_in_their_order(serving: Any) -> None:
    bodies = [json.dumps({**ROW, "distance": 7 * place}).encode() for place in range(40)]
    sent = b"".join(
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        for body in bodies
    )
    last = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as client:
        client.sendall(sent + last)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    said = [float(piece.split(b"}")[0]) for piece in answer.split(b'"prediction":')[1:]]
    assert said == [pytest.approx(0.1 + place + 1 / 3) for place in range(40)]
    assert answer.endswith(b'{"alive":true}')


def test_addresses_and_methods_that_are_not_there_are_named(serving: Any) -> None:
    status, answer = serving.call("/predictt", ROW)
    assert (status, answer["error"]) == (404, "NotFound")
    assert "/predict" in answer["known"]
    connection: http.client.HTTPConnection = serving.connect()
    connection.request("DELETE", "/predict")
    refused = connection.getresponse()
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert json.loads(refused.read())["known"] == "it takes POST"
    connection.request("HEAD", "/health")
    assert connection.getresponse().read() == b""
    connection.close()


def test_pages_of_other_sites_and_strange_host_names_are_refused(serving: Any) -> None:
    assert serving.call("/predict", ROW, Host="rebound.example")[0] == 403
    assert (
        serving.call("/predict", ROW, Origin="https://other.example")[1]["what"] == "web pages may not call this server"
    )
    assert serving.call("/predict", ROW, Sec_Fetch_Site="cross-site")[0] == 403
    assert serving.call("/predict", ROW, Content_Encoding="gzip")[1]["what"] == "the body is compressed"


def test_a_token_is_asked_for_when_there_is_one(start: Callable[..., Any]) -> None:
    serving = start("token=s3cret")
    assert serving.call("/predict", ROW)[1]["what"] == "the token is missing or wrong"
    assert serving.call("/predict", ROW, Authorization="Bearer wrong")[0] == 401
    assert serving.call("/predict", ROW, Authorization="Bearer s3cret")[0] == 200
    assert serving.call("/ready") == (200, {"ready": True})
    assert serving.call("/metrics")[0] == 401


def test_serving_other_machines_without_a_token_is_refused(tmp_path: Any) -> None:
    with pytest.raises(BadSetting, match=r"would answer everybody who can reach 0\.0\.0\.0\n  next     set a token"):
        serve(lambda: pytest.fail("nothing may be loaded"), folder=tmp_path, host="0.0.0.0")


def test_what_a_row_lacks_is_looked_up_by_its_entity(start: Callable[..., Any]) -> None:
    serving = start("enriched")
    _, answer = serving.call("/predict", {"carrier": "UA", "plane": "N1"})
    found = journal.find(serving.journal, answer["prediction_id"])
    assert found.features.tolist() == [1.0, 100.0, 1.0]
    assert found.as_of == {"plane_record": "2013-11-01T06:00:00.000000Z"}
    assert found.request == {"carrier": "UA", "plane": "N1"}
    _, given = serving.call("/predict", {"carrier": "UA", "plane": "N1", "distance": 7})
    assert journal.find(serving.journal, given["prediction_id"]).features.tolist() == [1.0, 7.0, 1.0]


def test_an_entity_that_cannot_be_looked_up_is_an_error_of_its_own_row(start: Callable[..., Any]) -> None:
    serving = start("enriched")
    rows = [{"carrier": "UA", "plane": plane} for plane in ("N1", "N9", "broken", "N2")]
    _, answer = serving.call("/predict", {"rows": [*rows, ROW]})
    first, unknown, broken, second, whole = answer["predictions"]
    assert [one["prediction"] for one in (first, second, whole)] == [
        pytest.approx(0.1 + distance / 7 + 1 / 3) for distance in (100, 200, 70)
    ]
    assert (unknown["error"], unknown["what"]) == ("UnknownEntity", "no plane is called N9")
    assert broken["error"] == "StepFailed"
    assert serving.call("/predict", {"carrier": "UA", "plane": "N9"})[0] == 404


def test_metrics_are_prometheus_text_with_routes_and_no_values_of_rows(serving: Any) -> None:
    serving.call("/predict", ROW)
    serving.call("/predict", b"{")
    serving.call("/secret-path")
    status, text = serving.call("/metrics")
    assert status == 200
    lines = text.splitlines()
    assert 'oito_predictions_total{model="late_flight:v1"} 1' in lines
    assert 'oito_errors_total{error="BadRequest"} 1' in lines
    served = 'http_request_method="POST",http_route="/predict",http_response_status_code="200"'
    assert f"http_server_request_duration_seconds_count{{{served}}} 1" in lines
    assert "secret-path" not in text


def test_the_serving_process_loads_no_training_library() -> None:
    heavy = "{'sklearn', 'polars', 'pandas', 'duckdb', 'optuna', 'scipy', 'starlette'}"
    code = f"import sys, oito.endpoints.server; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_what_is_served_describes_itself(serving: Any) -> None:
    home = serving.call("/")[1]
    assert (home["version"], home["fields"]) == ("delay_risk:v1", ["carrier", "plane", "distance", "hub"])
    document = serving.call("/openapi.json")[1]
    assert document["openapi"] == "3.1.0"
    row = document["components"]["schemas"]["Row"]
    assert row["required"] == ["carrier", "distance", "hub"]
    assert row["properties"]["hub"] == {"type": ["boolean", "null"]}


def test_open_inference_requests_are_answered_and_refused_in_its_own_words(serving: Any) -> None:
    tensors = [
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", "UA"]},
        {"name": "distance", "shape": [2, 1], "datatype": "FP64", "data": [7, 70]},
        {"name": "hub", "shape": [2], "datatype": "BOOL", "data": [False, True]},
    ]
    infer = "/v2/models/delay_risk/infer"
    status, answer = serving.call(infer, {"id": "a1", "inputs": tensors})
    assert (status, answer["id"], answer["model_version"]) == (200, "a1", "delay_risk:v1")
    assert answer["outputs"] == [{"name": "late", "shape": [2], "datatype": "FP64", "data": [1.0, pytest.approx(SAID)]}]
    assert serving.call(infer, {"inputs": tensors[:1]})[1] == {
        "error": "the field 'distance' is missing; fields are carrier, distance, hub"
    }
    assert serving.call(infer, {"inputs": [{**tensors[0], "shape": [-1]}]})[0] == 400
    assert serving.call("/v2/models/delay_risk")[1]["inputs"][0] == {
        "name": "carrier",
        "datatype": "BYTES",
        "shape": [-1],
    }
    assert serving.call("/v2/models/other")[0] == 404
    assert serving.call("/v2/health/ready")[0] == 200
