"""The sources of a service, each with its thread and its channel.

They end in two steps, so that nothing is committed before it is published. `drain`: devices and stored sessions stop,
logs hand on nothing more. `leave_logs`: when all is published, logs commit it and give up their partitions.
"""

from collections.abc import Sequence
from typing import Any

from daemon.runtime.readiness import Readiness
from daemon.telemetry.instruments import Instruments
from daemon.wiring import SourceFeed
from streams.channels.inlet import Inlet
from streams.deadline import Deadline
from streams.redaction import redacted_error
from streams.source_state import SourceState
from streams.sources.base import LogSource
from streams.sources.chat.posted import PostedChat
from streams.sources.runner import SourceRunner

_STOP_S = 5.0  # a network camera takes its read timeout, 3 s, to notice anything


class Sources:
    """Runs all sources.

    Started and ended by the main thread; everything else may be called by any.
    """

    def __init__(self, feeds: Sequence[SourceFeed], inlet: Inlet[Any], instruments: Instruments) -> None:
        self._channels = [
            inlet.channel(feed.source.name, feed.policy, feed.capacity, feed.source.live) for feed in feeds
        ]
        self._runners = [
            SourceRunner(feed.source, channel.put, instruments.clock, instruments.metrics)
            for feed, channel in zip(feeds, self._channels, strict=True)
        ]
        self.readiness = Readiness(self._runners, [feed.source.name for feed in feeds if not feed.required])
        self.posted_chat = next((feed.source for feed in feeds if isinstance(feed.source, PostedChat)), None)
        """The source of chat lines that HTTP receives, if one is configured."""
        for channel in self._channels:
            instruments.metrics.watch_channel(f"source.{channel.name}", channel.depth)

    def start(self) -> None:
        """Starts every source."""
        for runner in self._runners:
            runner.start()

    def drain(self, deadline: Deadline) -> None:
        """Ends the input: nothing enters a channel after."""
        for log_source in self._logs():
            log_source.drain()
        others = [runner for runner in self._runners if not isinstance(runner.source, LogSource)]
        for runner in others:
            runner.stop()
        stopped = deadline.at_most(_STOP_S)
        for runner in others:
            runner.join(stopped.remaining_s)
        for channel in self._channels:
            channel.close()

    def leave_logs(self, deadline: Deadline) -> None:
        """Commits what is published and gives up partitions.

        Not before nothing more will be published.
        """
        for runner in self._runners:
            runner.stop()
        for runner in self._runners:
            runner.join(deadline.remaining_s)

    @property
    def ended(self) -> bool:
        """Whether all of them have ended by themselves."""
        return all(runner.state.is_final for runner in self._runners)

    @property
    def failed(self) -> bool:
        """Whether one could not be read to its end."""
        return any(runner.state is SourceState.FAILED for runner in self._runners)

    @property
    def failed_by_bug(self) -> bool:
        """Whether one broke by an error that is a bug."""
        return any(runner.failed_by_bug for runner in self._runners)

    def depths(self) -> dict[str, int]:
        """Items in each channel, by the source's name."""
        return {channel.name: channel.depth() for channel in self._channels}

    def partitions(self) -> dict[str, list[int]]:
        """The partitions that each log source reads, by its name."""
        return {source.name: list(source.partitions) for source in self._logs()}

    def status(self) -> list[dict[str, Any]]:
        """Name, state and last error of each, without content."""
        return [
            {
                "name": runner.source.name,
                "state": runner.state,
                "error": redacted_error(runner.error) if runner.error else None,
                "required": self.readiness.is_required(runner.source.name),
            }
            for runner in self._runners
        ]

    def _logs(self) -> list[LogSource]:
        return [runner.source for runner in self._runners if isinstance(runner.source, LogSource)]
