"""The prediction journal: what was written is read back bit for bit, whatever is torn off or flipped beside it."""

import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.endpoints import ids, journal, segment
from oito.endpoints.journal import About, Block, Journal
from oito.errors import BadRequest, CorruptFile, StorageFull, UnknownPrediction

ABOUT = About("delay_risk", "delay_risk:v3", "late_flight:v7", "champion", ("carrier", "distance"), ("late",))
NOON = 1_384_000_000_000_000_000  # ns since 1970, in 2013


class Ticks:
    """A clock that goes on by a millisecond each time it is asked."""

    def __init__(self, step_ns: int = 1_000_000) -> None:
        self.now, self._step = NOON, step_ns

    def __call__(self) -> int:
        self.now += self._step
        return self.now


def _written(folder: Path, blocks: int, *, rows: int = 2, segment_bytes: int = journal.SEGMENT_BYTES) -> list[bytes]:
    writer = Journal(folder, now_ns=Ticks(), segment_bytes=segment_bytes)
    stream = writer.stream(ABOUT)
    given: list[bytes] = []
    for place in range(blocks):
        features = np.full((rows, 2), float(place))
        given += stream.append(features, features[:, :1] / 3, [b'{"row":%d}' % place] * rows)
    writer.close()
    return given


def _read(folder: Path) -> list[Block]:
    return list(journal.read(folder))


floats = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(floats, floats, floats, st.text(max_size=20)), min_size=1, max_size=5),
        min_size=1,
        max_size=6,
    )
)
def test_every_block_is_read_back_bit_for_bit(batches: list[list[tuple[float, float, float, str]]]) -> None:
    with TemporaryDirectory() as folder:
        writer = Journal(Path(folder))
        stream = writer.stream(ABOUT)
        expected = []
        for batch in batches:
            features = np.array([row[:2] for row in batch])
            outputs = np.array([row[2:3] for row in batch])
            requests = [row[3].encode() for row in batch]
            as_of = [{"record": text or None} for *_, text in batch]
            names = stream.append(features, outputs, requests, as_of=as_of, latency_s=0.25)
            expected.append((tuple(names), features.tobytes(), outputs.tobytes(), tuple(requests), tuple(as_of)))
        writer.close()
        seen = [(b.ids, b.features.tobytes(), b.outputs.tobytes(), b.requests, b.as_of) for b in _read(Path(folder))]
        assert seen == expected
        assert {(block.about, block.latency_s) for block in journal.read(Path(folder))} == {(ABOUT, 0.25)}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_segment_cut_anywhere_keeps_every_block_that_is_whole(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        _written(folder, 5)
        (path,) = segment.paths(folder, "predictions")
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        whole = [block.ids for block in _read(folder)]
        path.write_bytes(content[:cut])
        _written(folder / "shorter", 4)
        (shorter,) = segment.paths(folder / "shorter", "predictions")
        block_bytes = len(content) - shorter.stat().st_size
        missing = -(-(len(content) - cut) // block_bytes)
        assert [block.ids for block in _read(folder)] == whole[: max(0, 5 - missing)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_named_and_costs_at_most_its_own_block(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        _written(folder, 6)
        (path,) = segment.paths(folder, "predictions")
        content = bytearray(path.read_bytes())
        whole = _read(folder)
        # The opening and the header block say what the file is; the last frame's length cannot be told from a torn tail.
        frame_bytes = len(content) // 8
        place = data.draw(st.integers(len(content) - 5 * frame_bytes, len(content) - 2 * frame_bytes))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with pytest.raises(CorruptFile, match=f"segment {path.name} is damaged") as error:
            _read(folder)
        assert "every block outside these bytes is whole" in str(error.value)
        damages: list[segment.Damage] = []
        left = [block.ids for block in journal.read(folder, damaged=damages.append)]
        assert len(damages) == 1
        assert damages[0].start <= place < damages[0].end
        assert len(left) == len(whole) - 1
        assert set(left) < {block.ids for block in whole}


def test_a_tail_of_zeros_that_a_crash_left_is_no_damage(tmp_path: Path) -> None:
    given_ids = _written(tmp_path, 3)
    (path,) = segment.paths(tmp_path, "predictions")
    path.write_bytes(path.read_bytes() + bytes(100))
    assert [name for block in _read(tmp_path) for name in block.ids] == given_ids


def test_one_prediction_is_found_among_thousands_and_segments(tmp_path: Path) -> None:
    given_ids = _written(tmp_path, 3000, segment_bytes=200_000)
    assert len(segment.paths(tmp_path, "predictions")) > 1
    for place in (0, 1, 999, 2500, 5999):
        found = journal.find(tmp_path, given_ids[place])
        assert (found.id, found.features.tolist()) == (given_ids[place], [place // 2] * 2)
        assert found.request == {"row": place // 2}
        assert journal.find(tmp_path, given_ids[place].hex()).at_ns == found.at_ns


def test_an_unknown_id_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    (known, _) = _written(tmp_path, 1)
    stranger = known[:-1] + bytes([known[-1] ^ 1])
    with pytest.raises(UnknownPrediction, match=f"no prediction has the id {stranger.hex()}\n  known    1 journal"):
        journal.find(tmp_path, stranger)
    with pytest.raises(BadRequest, match="prediction_id is no prediction id"):
        journal.find(tmp_path, "late_flight:v7")


def test_reading_since_a_moment_gives_the_blocks_from_then_on(tmp_path: Path) -> None:
    _written(tmp_path, 3000)
    every = _read(tmp_path)
    for place in (0, 1, 1234, 2999):
        since = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=every[place].time_ns // 1000)
        assert [block.ids for block in journal.read(tmp_path, since)] == [block.ids for block in every[place:]]


def test_a_journal_becomes_a_frame_of_one_row_a_prediction(tmp_path: Path) -> None:
    given_ids = _written(tmp_path, 2)
    frame = journal.frame(tmp_path)
    assert frame["prediction_id"].to_list() == [name.hex() for name in given_ids]
    assert frame["features"].to_list() == [[0.0, 0.0]] * 2 + [[1.0, 1.0]] * 2
    assert frame["outputs"].to_list() == [[0.0]] * 2 + [[1 / 3]] * 2
    assert frame.row(3, named=True) | {"prediction_id": "", "features": [], "outputs": [], "at": None} == {
        "prediction_id": "",
        "at": None,
        "endpoint": "delay_risk",
        "version": "delay_risk:v3",
        "model": "late_flight:v7",
        "variant": "champion",
        "request": '{"row":1}',
        "features": [],
        "outputs": [],
        "as_of": None,
        "latency_s": 0.0,
    }
    assert frame.schema == journal.frame(tmp_path / "nothing").schema


def test_a_write_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    stream = writer.stream(ABOUT)
    row = np.zeros((1, 2))
    first = stream.append(row, row[:, :1], [b"{}"])
    (path,) = segment.paths(tmp_path, "predictions")
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, limits[1]))
    try:
        with pytest.raises(StorageFull, match="the prediction journal cannot be written, so nothing is answered"):
            stream.append(row, row[:, :1], [b"{}"])
        with pytest.raises(StorageFull):
            stream.append(row, row[:, :1], [b'{"large":"%b"}' % (b"x" * 100_000)])
        assert path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    second = stream.append(row, row[:, :1], [b"{}"])
    writer.close()
    assert [name for block in _read(tmp_path) for name in block.ids] == first + second


def test_each_version_and_each_process_writes_segments_of_its_own(tmp_path: Path) -> None:
    one, two = Journal(tmp_path, now_ns=Ticks()), Journal(tmp_path, now_ns=Ticks())
    row = np.zeros((1, 2))
    newer = About("delay_risk", "delay_risk:v4", "late_flight:v8", "canary", ABOUT.columns, ABOUT.outputs)
    for writer, about in ((one, ABOUT), (one, newer), (two, ABOUT)):
        writer.stream(about).append(row, row[:, :1], [b"{}"])
    one.close()
    two.close()
    assert len(segment.paths(tmp_path, "predictions")) == 3
    assert sorted(block.about.variant for block in journal.read(tmp_path)) == ["canary", "champion", "champion"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 5000)), max_size=8))
def test_ids_only_rise_also_when_the_clock_goes_back(steps: list[tuple[int, int]]) -> None:
    giver, now, every = ids.Ids(), NOON, []
    for step_ms, count in steps:
        now += step_ms * 1_000_000
        every += giver.take(count, now)
    assert every == sorted(set(every))
    assert all(name[6] >> 4 == 7 and name[8] >> 6 == 2 for name in every)
