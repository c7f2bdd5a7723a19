"""Computes the watermark of a session from the progress of its streams.

The watermark is the time before which nothing more is expected. A stream here is one modality from one source. An event
proves that event time has come to it, less the disorder bound; a source's promise (`Progress`) needs no bound. The
session's watermark is the least of its streams, over those that are not idle:

                       event time ───►
    video   ──●──●──●──●──●──┤        ● event    ┤ newest event less the disorder bound
    audio   ──●──●──●──┤              the slowest that is not idle: here is the watermark
    text    ──●──┤      idle          left out, so that a silent modality stalls nothing

A stream is idle when it gave nothing for `idle_after`, measured by its origin (`streams.alignment.origin`): the clock
for a device, the log's own time for a log. A file's time stands still, so it is never idle. When all streams are idle,
the watermark runs on with the time of their origin.

An event ahead of when it was written or received proves no more than that time: the fast clock of one producer must not
make all others late. The watermark never moves back: what an idle stream brings from before it is late.
"""

from dataclasses import dataclass, field

from streams.alignment.origin import DEVICE, Origin

NEVER_NS = -(2**63)

StreamKey = tuple[str, str]
"""Source and modality."""


@dataclass(frozen=True, slots=True)
class WatermarkConfig:
    """Disorder bound, and the silence that makes a stream idle."""

    disorder_bound_ns: int
    idle_after_ns: int


@dataclass(slots=True)
class StreamProgress:
    """Progress of one stream; `active_ns` and `last_event_ns` are times of its origin."""

    origin: Origin
    complete_ns: int = NEVER_NS
    """Nothing more is expected before this event time."""
    active_ns: int = 0
    """When it last gave an event or a promise."""
    last_event_ns: int = 0
    ended: bool = False

    def is_idle(self, now_ns: int, idle_after_ns: int) -> bool:
        """Whether the stream no longer holds the watermark back; `now_ns` is monotonic."""
        return self.ended or self.origin.now_ns(now_ns) - self.active_ns >= idle_after_ns

    def extrapolated_ns(self, now_ns: int) -> int:
        """Event time at monotonic `now_ns`, had it gone on while silent."""
        return self.complete_ns + self.origin.now_ns(now_ns) - self.active_ns


@dataclass(slots=True)
class Watermark:
    """Watermark of one session. Owned by the timeline thread; no lock."""

    config: WatermarkConfig
    streams: dict[StreamKey, StreamProgress] = field(default_factory=dict)
    time_ns: int = NEVER_NS
    by_idleness: bool = False
    """Whether time, not a record, moved it last."""

    def event(self, stream: StreamKey, until_ns: int, now_ns: int, origin: Origin) -> None:
        """Takes an event that proves event time `until_ns`; `now_ns` is monotonic."""
        state = self._advance_stream(stream, until_ns - self.config.disorder_bound_ns, now_ns, origin)
        state.last_event_ns = state.active_ns

    def progress(self, stream: StreamKey, through_ns: int, now_ns: int, origin: Origin) -> None:
        """Takes a promise that the stream has nothing more before `through_ns`."""
        self._advance_stream(stream, through_ns, now_ns, origin)

    def end(self, source: str) -> None:
        """Ends every stream of one source."""
        for (name, _), state in self.streams.items():
            if name == source:
                state.ended = True

    @property
    def ended(self) -> bool:
        """Whether every stream has ended."""
        return all(stream.ended for stream in self.streams.values())

    @property
    def from_devices(self) -> bool:
        """Whether every stream is a device's, with times of the wall clock."""
        return all(stream.origin is DEVICE for stream in self.streams.values())

    def advance(self, now_ns: int) -> int:
        """Returns the watermark, advanced to monotonic `now_ns`."""
        active = [s.complete_ns for s in self.streams.values() if not s.is_idle(now_ns, self.config.idle_after_ns)]
        if active:
            reached_ns = min(active)
        else:
            idle = [stream.extrapolated_ns(now_ns) for stream in self.streams.values() if not stream.ended]
            reached_ns = max(idle, default=NEVER_NS)
        if reached_ns > self.time_ns:
            self.time_ns = reached_ns
            self.by_idleness = not active
        return self.time_ns

    def timed_out(self, now_ns: int, timeout_ns: int) -> bool:
        """Whether no stream gave an event for `idle_after` and then `timeout_ns`."""
        silent_ns = self.config.idle_after_ns + timeout_ns
        return all(s.ended or s.origin.now_ns(now_ns) - s.last_event_ns >= silent_ns for s in self.streams.values())

    def _advance_stream(self, key: StreamKey, complete_ns: int, now_ns: int, origin: Origin) -> StreamProgress:
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = StreamProgress(origin)
            stream.last_event_ns = origin.now_ns(now_ns)
        stream.origin = origin
        stream.complete_ns = max(stream.complete_ns, complete_ns)
        stream.active_ns = origin.now_ns(now_ns)
        stream.ended = False
        return stream
