"""How far a session's event time is known to be complete.

The watermark is the time before which nothing more is expected. Each feed (one source's stream of one modality) bears
witness in two ways: an event proves that time has come to it, less the disorder bound; progress is the source's own
promise and needs no bound. An event that is ahead of when it was written or received proves no more than that time: a
producer's fast clock must not make everybody else late. It waits for its window. The session's watermark is the least
of its feeds' testimony, over the feeds that are not idle.

A feed is idle when it has been silent for `idle_after` by the time of where it comes from (`streams.alignment.origin`):
the clock for a device, the log's own time for a log; a file's time stands still, so it is never idle. An idle feed
leaves the minimum, so that a silent modality stalls nothing. When every feed is idle the watermark runs on with that
time.

The watermark never moves back, not even when an idle feed wakes up with older events: those are late.
"""

from dataclasses import dataclass, field

from streams.alignment.origin import DEVICE, Origin

NEVER_NS = -(2**63)


@dataclass(frozen=True, slots=True)
class WatermarkConfig:
    """How far out of order events may be, and how long silence lasts before a feed is idle."""

    disorder_bound_ns: int
    idle_after_ns: int


@dataclass(slots=True)
class Feed:
    """What one source has told of one modality of a session; `heard_ns` and `event_ns` are times of its origin."""

    origin: Origin
    witnessed_ns: int = NEVER_NS
    heard_ns: int = 0
    event_ns: int = 0
    """When an event was last heard; being told of silence is not."""
    ended: bool = False

    def idle(self, now_ns: int, idle_after_ns: int) -> bool:
        """Whether the feed no longer holds the watermark; `now_ns` is monotonic."""
        return self.ended or self.origin.now_ns(now_ns) - self.heard_ns >= idle_after_ns

    def runs_on_to(self, now_ns: int) -> int:
        """How far its event time would be by now, had it gone on while it was silent."""
        return self.witnessed_ns + self.origin.now_ns(now_ns) - self.heard_ns


@dataclass(slots=True)
class Watermark:
    """The watermark of one session. Owned by the timeline thread; no lock."""

    config: WatermarkConfig
    feeds: dict[tuple[str, str], Feed] = field(default_factory=dict)
    time_ns: int = NEVER_NS
    by_idleness: bool = False
    """Whether the clock, not a record, moved it last."""

    def event(self, feed: tuple[str, str], until_ns: int, now_ns: int, origin: Origin) -> None:
        """`feed` delivered an event that reaches to `until_ns`; `now_ns` is monotonic."""
        state = self._witness(feed, until_ns - self.config.disorder_bound_ns, now_ns, origin)
        state.event_ns = state.heard_ns

    def progress(self, feed: tuple[str, str], through_ns: int, now_ns: int, origin: Origin) -> None:
        """`feed` promises nothing more before `through_ns`."""
        self._witness(feed, through_ns, now_ns, origin)

    def end(self, source: str) -> None:
        """`source` has no more for this session."""
        for (name, _), state in self.feeds.items():
            if name == source:
                state.ended = True

    @property
    def ended(self) -> bool:
        """Whether every feed has ended."""
        return all(feed.ended for feed in self.feeds.values())

    @property
    def of_devices(self) -> bool:
        """Whether every feed is a device's, whose event times are those of the wall clock."""
        return all(feed.origin is DEVICE for feed in self.feeds.values())

    def advance(self, now_ns: int) -> int:
        """Moves the watermark as far as the feeds allow at monotonic `now_ns`, and returns it."""
        awake = [f.witnessed_ns for f in self.feeds.values() if not f.idle(now_ns, self.config.idle_after_ns)]
        if awake:
            reached = min(awake)
        else:
            running = [feed.runs_on_to(now_ns) for feed in self.feeds.values() if not feed.ended]
            reached = max(running, default=NEVER_NS)
        if reached > self.time_ns:
            self.time_ns = reached
            self.by_idleness = not awake
        return self.time_ns

    def abandoned(self, now_ns: int, after_ns: int) -> bool:
        """Whether no feed gave an event for `idle_after` and then `after_ns`."""
        silent_ns = self.config.idle_after_ns + after_ns
        return all(f.ended or f.origin.now_ns(now_ns) - f.event_ns >= silent_ns for f in self.feeds.values())

    def _witness(self, key: tuple[str, str], time_ns: int, now_ns: int, origin: Origin) -> Feed:
        feed = self.feeds.get(key)
        if feed is None:
            feed = self.feeds[key] = Feed(origin)
            feed.event_ns = origin.now_ns(now_ns)
        feed.origin = origin
        feed.witnessed_ns = max(feed.witnessed_ns, time_ns)
        feed.heard_ns = origin.now_ns(now_ns)
        feed.ended = False
        return feed
