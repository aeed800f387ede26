"""The prediction journal: what was asked, what the model saw and said, written before it is answered. Frames and files are `segment`'s."""

from __future__ import annotations

import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from oito.endpoints import ids, segment
from oito.endpoints.served import Floats, Served
from oito.errors import UnknownPrediction

if TYPE_CHECKING:
    import polars as pl

SEGMENT_BYTES = 64 << 20
_SYNC_EVERY_S = 0.1
KIND = "predictions"
_HEAD = struct.Struct(
    "<cqIHHIII"
)  # kind, time_ns, rows, columns, outputs, latency_us, bytes of requests, bytes of as-of

AsOf = Mapping[str, str | None]


@dataclass(frozen=True)
class About:
    """What every block of one segment shares; it stands in the segment's first block."""

    endpoint: str
    version: str
    model: str
    variant: str
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str = ""

    @classmethod
    def of(cls, served: Served) -> About:
        names, outputs = served.signature.names, tuple(served.outputs)
        return cls(served.endpoint, served.version, served.model, served.variant, names, outputs, served.source)


@dataclass(frozen=True)
class Block:
    """Predictions that were scored and written together.

    `features` is float64 [n, d] as the model saw it, `outputs` float64 [n, k], `requests` the n rows as given (JSON),
    `as_of` n mappings from feature view to the event time used (empty when nothing was looked up), `latency_s` the longest
    time from a request's arrival to its writing.
    """

    about: About
    time_ns: int
    ids: tuple[bytes, ...]
    features: Floats
    outputs: Floats
    requests: tuple[bytes, ...]
    as_of: tuple[AsOf, ...]
    latency_s: float


@dataclass(frozen=True)
class Prediction:
    """One prediction as the journal holds it; `features` is float64 [d], `outputs` float64 [k]."""

    id: bytes
    at_ns: int
    about: About
    features: Floats
    outputs: Floats
    request: Mapping[str, Any]
    as_of: AsOf


class Journal:
    """The writing side, one per process. Everything is appended by one thread; a second one syncs to the disk each 100 ms.

    What `append` returned from survives kill -9 at once and a loss of power after the next sync.
    """

    def __init__(
        self, folder: Path, *, now_ns: Callable[[], int] = time.time_ns, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.folder, self.now_ns, self.segment_bytes = folder, now_ns, segment_bytes
        self.ids = ids.Ids()
        self.written_bytes = 0
        self.sync_errors = 0
        self._open: list[Stream] = []
        self._retired: list[segment.Segment] = []
        self._stopping = threading.Event()
        self._syncer = threading.Thread(target=self._sync_forever, name="oito-journal-sync", daemon=True)
        self._syncer.start()

    def stream(self, about: About) -> Stream:
        """Return where predictions of one version go; its segments hold nothing else."""
        stream = Stream(self, about)
        self._open.append(stream)
        return stream

    def retire(self, closed: segment.Segment) -> None:
        """Have a segment that gets no more blocks synced and closed, by the syncing thread: closing must not race a sync."""
        self._retired.append(closed)

    def close(self) -> None:
        """Return when everything is on the disk and every file closed."""
        for stream in self._open:
            stream.end_segment()
        self._stopping.set()
        self._syncer.join()

    def _sync_forever(self) -> None:
        while not self._stopping.wait(_SYNC_EVERY_S):
            self._sync()
        self._sync()

    def _sync(self) -> None:
        for stream in self._open.copy():
            if (current := stream.dirty) is not None:
                stream.dirty = None
                self._try(current.sync)
        while self._retired:
            ended = self._retired.pop()
            self._try(ended.sync)
            ended.close()

    def _try(self, sync: Callable[[], None]) -> None:
        try:
            sync()
        except OSError as error:
            self.sync_errors += 1
            print(f"oito: the journal could not be synced: {error.strerror}", file=sys.stderr)  # noqa: T201 - a server's log


class Stream:
    """The blocks of one served version; opens a segment at the first of them and a new one when it is large."""

    def __init__(self, journal: Journal, about: About) -> None:
        self._journal, self._about = journal, about
        self._segment: segment.Segment | None = None
        self.dirty: segment.Segment | None = None

    def append(
        self,
        features: Floats,
        outputs: Floats,
        requests: Sequence[bytes],
        *,
        as_of: Sequence[AsOf] = (),
        latency_s: float = 0.0,
    ) -> list[bytes]:
        """Write rows that were scored together and return their ids; when this returns they survive kill -9.

        Raises:
            StorageFull: there is no room; nothing was written.
        """
        journal = self._journal
        time_ns = journal.now_ns()
        rows, columns = features.shape
        given = journal.ids.take(rows, time_ns)
        texts = b"".join(requests)
        ends = np.cumsum([len(request) for request in requests], dtype="<u4").tobytes()
        times = msgspec.msgpack.encode(as_of) if any(as_of) else b""
        head = _HEAD.pack(
            b"B", time_ns, rows, columns, outputs.shape[1], min(int(latency_s * 1e6), 2**32 - 1), len(texts), len(times)
        )
        target = self._segment or self._begin(time_ns)
        target.append([head, b"".join(given), features.tobytes(), outputs.tobytes(), ends, texts, times])
        self.dirty = target
        journal.written_bytes += len(texts) + len(times) + len(head) + rows * (20 + 8 * (columns + outputs.shape[1]))
        if target.size_bytes >= journal.segment_bytes:
            self.end_segment()
        return given

    def end_segment(self) -> None:
        """Let the next block open a new segment."""
        if self._segment is not None:
            self._journal.retire(self._segment)
        self._segment = None

    def _begin(self, time_ns: int) -> segment.Segment:
        header = _HEAD.pack(b"H", time_ns, 0, 0, 0, 0, 0, 0) + msgspec.json.encode(self._about)
        self._segment = segment.Segment(self._journal.folder, KIND, time_ns=time_ns, first=header)
        return self._segment


def raise_damage(damage: segment.Damage) -> None:
    raise damage.error()


def read(
    folder: Path, since: datetime | None = None, *, damaged: Callable[[segment.Damage], None] = raise_damage
) -> Iterator[Block]:
    """Yield the blocks written at or after `since`, each segment in its order. A torn last block is no block.

    Args:
        damaged: told of every damaged stretch, which is then stepped over; the default raises.

    Raises:
        CorruptFile: bytes of a segment changed after they were written.
    """
    since_ns = int(since.timestamp() * 1e6) * 1000 if since else 0
    for path in segment.paths(folder, KIND):
        yield from _blocks(path, since_ns, damaged)


def newest(folder: Path, count: int) -> list[Block]:
    """Return the blocks that hold the newest `count` predictions, in the order written; damage is stepped over.

    Segments are read from the one that began last, until there are enough.
    """
    found: list[Block] = []
    for path in reversed(segment.paths(folder, KIND)):
        with segment.mapped(path) as frames:
            walk = frames.walk(damaged=lambda _: None)
            header = next(walk, b"")
            payloads = deque(walk, maxlen=count)
        if header[:1] == b"H":
            about = msgspec.json.decode(header[_HEAD.size :], type=About)
            found = [*(_block(about, payload) for payload in payloads), *found]
        if sum(len(block.ids) for block in found) >= count:
            break
    return last(sorted(found, key=lambda block: block.time_ns), count)


def about(path: Path) -> About | None:
    """Return what the blocks of a segment share, or None when its first block is not whole."""
    with segment.mapped(path) as frames:
        header = next(frames.walk(damaged=lambda _: None), b"")
    return msgspec.json.decode(header[_HEAD.size :], type=About) if header[:1] == b"H" else None


def last(blocks: list[Block], count: int) -> list[Block]:
    """Return as many of the last blocks as are needed for `count` predictions."""
    start = len(blocks)
    while start and count > 0:
        start -= 1
        count -= len(blocks[start].ids)
    return blocks[start:]


def _blocks(path: Path, since_ns: int, damaged: Callable[[segment.Damage], None]) -> Iterator[Block]:
    with segment.mapped(path) as frames:
        about: About | None = None
        start = frames.near(lambda payload: payload[:1] == b"H" or _time_ns(payload) < since_ns) if since_ns else 0
        for payload in _with_header(frames, start, damaged):
            if payload[:1] == b"H":
                about = msgspec.json.decode(payload[_HEAD.size :], type=About)
            elif about is not None and _time_ns(payload) >= since_ns:
                yield _block(about, payload)


def _with_header(frames: segment.Frames, start: int, damaged: Callable[[segment.Damage], None]) -> Iterator[bytes]:
    """Yield the segment's header block, then the payloads from `start` on."""
    if start:
        yield from (payload for payload in [next(frames.walk(damaged=damaged), b"")] if payload)
    yield from frames.walk(start, damaged=damaged)


def _time_ns(payload: bytes) -> int:
    return int.from_bytes(payload[1:9], "little", signed=True)


def _block(about: About, payload: bytes) -> Block:
    _, time_ns, rows, columns, outputs, latency_us, texts_bytes, as_of_bytes = _HEAD.unpack_from(payload)
    at = _HEAD.size
    names = tuple(payload[at + 16 * row : at + 16 * row + 16] for row in range(rows))
    at += 16 * rows
    features = np.frombuffer(payload, "<f8", rows * columns, at).reshape(rows, columns)
    at += features.nbytes
    said = np.frombuffer(payload, "<f8", rows * outputs, at).reshape(rows, outputs)
    at += said.nbytes
    ends = np.frombuffer(payload, "<u4", rows, at).tolist()
    at += 4 * rows
    texts = payload[at : at + texts_bytes]
    requests = tuple(texts[start:end] for start, end in zip([0, *ends], ends, strict=False))
    at += texts_bytes
    as_of = tuple(msgspec.msgpack.decode(payload[at : at + as_of_bytes])) if as_of_bytes else ({},) * rows
    return Block(about, time_ns, names, features, said, requests, as_of, latency_us / 1e6)


def find(folder: Path, prediction_id: bytes | str) -> Prediction:
    """Return one prediction; ids and segments are ordered by time, so a few blocks are read.

    Raises:
        UnknownPrediction: no segment of `folder` has the id.
        BadRequest: a text that is no id.
    """
    wanted = ids.parse(prediction_id) if isinstance(prediction_id, str) else prediction_id
    for path in reversed(segment.paths(folder, KIND)):
        if segment.start_us(path) // 1000 <= ids.milliseconds(wanted):
            with segment.mapped(path) as frames:
                found = _find(frames, wanted)
            if found:
                return found
    raise UnknownPrediction(
        f"no prediction has the id {wanted.hex()}",
        known=f"{len(segment.paths(folder, KIND))} journal segments were looked through",
        next="give the prediction_id that /predict answered",
    )


def _find(frames: segment.Frames, wanted: bytes) -> Prediction | None:
    def is_before(payload: bytes) -> bool:
        return payload[:1] == b"H" or payload[_HEAD.size : _HEAD.size + 16] <= wanted

    about: About | None = None
    for payload in _with_header(frames, frames.near(is_before), lambda _: None):
        if payload[:1] == b"H":
            about = msgspec.json.decode(payload[_HEAD.size :], type=About)
        elif not is_before(payload):
            return None
        elif about is not None and wanted in (block := _block(about, payload)).ids:
            return prediction(block, block.ids.index(wanted))
    return None


def prediction(block: Block, row: int) -> Prediction:
    """Return one row of a block."""
    return Prediction(
        block.ids[row],
        block.time_ns,
        block.about,
        block.features[row].copy(),
        block.outputs[row].copy(),
        msgspec.json.decode(block.requests[row]),
        block.as_of[row],
    )


def frame(folder: Path, since: datetime | None = None) -> pl.DataFrame:
    """Return one row per prediction: prediction_id, at, endpoint, version, model, variant, request and as_of (JSON), features and outputs (lists), latency_s.

    Raises:
        CorruptFile: as `read`.
    """
    import polars as pl

    blocks = list(read(folder, since))
    lengths = [len(block.ids) for block in blocks]
    repeated = {
        name: np.repeat(np.arange(len(blocks)), lengths)
        for name in ("endpoint", "version", "model", "variant")
        if blocks
    }
    shared = {
        name: pl.Series([getattr(block.about, name) for block in blocks], dtype=pl.String).gather(places)
        for name, places in repeated.items()
    }
    return pl.DataFrame(
        {
            "prediction_id": pl.Series([id.hex() for block in blocks for id in block.ids], dtype=pl.String),
            "at": pl.Series(np.repeat([block.time_ns // 1000 for block in blocks], lengths), dtype=pl.Int64),
            **(
                shared or {name: pl.Series([], dtype=pl.String) for name in ("endpoint", "version", "model", "variant")}
            ),
            "request": pl.Series([text.decode() for block in blocks for text in block.requests], dtype=pl.String),
            "features": _lists([block.features for block in blocks]),
            "outputs": _lists([block.outputs for block in blocks]),
            "as_of": pl.Series([_json(times) for block in blocks for times in block.as_of], dtype=pl.String),
            "latency_s": pl.Series(np.repeat([block.latency_s for block in blocks], lengths), dtype=pl.Float64),
        }
    ).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))


def _lists(matrices: list[Floats]) -> pl.Series:
    """Return one list per row of all matrices; those of one width go through Polars together, not number by number."""
    import polars as pl

    pieces = [pl.Series([], dtype=pl.List(pl.Float64))]
    for width, alike in groupby(matrices, key=lambda matrix: matrix.shape[1]):
        rows = np.concatenate(list(alike))
        pieces.append(
            pl.Series(rows, dtype=pl.Array(pl.Float64, width)).arr.to_list()
            if width
            else pl.Series([[]] * len(rows), dtype=pl.List(pl.Float64))
        )
    return pl.concat(pieces)


def _json(times: AsOf) -> str | None:
    return msgspec.json.encode(times).decode() if times else None
