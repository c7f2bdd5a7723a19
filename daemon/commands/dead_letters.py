"""`affectd dead-letters`: lists dead letters, and resubmits them to their topics.

What was sent once more is remembered letter by letter (`streams.kafka.resubmissions`) each time a part of it has
arrived: a command that is killed sends at most that part again the next time, and loses none.
Left out: two that send at the same time; each sends what the other does.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from daemon.exit_codes import ExitCode
from daemon.kafka.endpoints import DeadLetterTopic
from streams.clock import SystemClock
from streams.kafka.bounded_producer import BoundedProducer
from streams.kafka.dead_letter_topic import DeadLetterReader
from streams.kafka.dead_letters import DeadLetter, resubmission
from streams.kafka.errors import BrokerUnavailable

_MOST_ATTEMPTS = 3
"""A record that came back so often will come back again: it is left out, so that sending letters comes to an end."""
_REMEMBERED_EVERY = 100
_REMEMBERED_EVERY_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant: those that meet all that is given."""

    reasons: frozenset[str] = frozenset()
    since_ns: int | None = None
    places: frozenset[tuple[int, int]] = frozenset()
    """Partition and offset in the dead-letter topic."""
    also_sent_before: bool = False

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ns is None or (letter.first_seen_ns or 0) >= self.since_ns)
            and (not self.places or (letter.partition, letter.offset) in self.places)
        )


def list_letters(topic: DeadLetterTopic, pick: LetterFilter) -> None:
    """Prints each letter as JSON; BrokerUnavailable if they cannot be read."""
    with DeadLetterReader(topic.connection, topic.name, SystemClock()) as letters:
        for letter in letters.letters(letters.beginnings):
            if pick.takes(letter):
                _print(topic, letter, sent_before=letter.offset in letters.resubmissions[letter.partition])


def replay_letters(
    topic: DeadLetterTopic, pick: LetterFilter, dry_run: bool, agreed: Callable[[int], bool]
) -> ExitCode:
    """Resubmits the chosen letters, and reports on stderr.

    dry_run: prints them instead, as `list_letters` does. agreed: is asked, with their number, before any is sent.
    BAD_DATA where some say nothing of where they came from, or of a place that is not there any more.
    BrokerUnavailable if letters cannot be read or sent; TooManyRanges, see `streams.kafka.resubmissions`.
    """
    with DeadLetterReader(topic.connection, topic.name, SystemClock()) as letters:
        found = _found(letters, topic, pick, dry_run)
        if found.sent_before:
            click.echo(f"{found.sent_before} were sent before and are left out (--all sends them again)", err=True)
        if found.hopeless:
            sentence = f"came back {_MOST_ATTEMPTS} times or more and are left out (--all sends them again)"
            click.echo(f"{found.hopeless} {sentence}", err=True)
        if dry_run or not found.count:
            click.echo(f"{found.count} letters would be sent" if dry_run else "no letter is to be sent", err=True)
            return found.outcome()
        for number, offsets in found.picked.items():
            letters.resubmissions[number].check(found.known[number], offsets, letters.ends[number])
        if agreed(found.count):
            _send(letters, topic, found)
    return found.outcome()


@dataclass(slots=True)
class _Found:
    """Dead letters since the committed offset, and those to send.

    Offsets by partition.
    """

    known: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    picked: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    sent_before: int = 0
    hopeless: int = 0
    """Letters that came back too often."""
    nowhere: int = 0
    """Letters whose origin is not known, or is gone."""

    @property
    def count(self) -> int:
        return sum(map(len, self.picked.values()))

    def outcome(self) -> ExitCode:
        if not self.nowhere:
            return ExitCode.OK
        click.echo(f"{self.nowhere} cannot be sent: where they came from is not said, or not there", err=True)
        return ExitCode.BAD_DATA


def _found(letters: DeadLetterReader, topic: DeadLetterTopic, pick: LetterFilter, print_them: bool) -> _Found:
    found = _Found()
    for letter in letters.letters(letters.beginnings):
        sent_before = letter.offset in letters.resubmissions[letter.partition]
        found.known[letter.partition].append(letter.offset)
        if not pick.takes(letter):
            continue
        if sent_before and not pick.also_sent_before:
            found.sent_before += 1
        elif letter.attempts >= _MOST_ATTEMPTS and not pick.also_sent_before:
            found.hopeless += 1
        elif letter.origin is None:
            found.nowhere += 1
        else:
            found.picked[letter.partition].add(letter.offset)
            if print_them:
                _print(topic, letter, sent_before)
    return found


def _send(letters: DeadLetterReader, topic: DeadLetterTopic, found: _Found) -> None:
    producer = BoundedProducer(topic.origin)
    sending = _Sending(letters, producer, found)
    try:
        for letter in letters.letters({number: min(offsets) for number, offsets in found.picked.items()}):
            if letter.offset in found.picked[letter.partition]:
                sending.send(letter)
        sending.remember()
    finally:
        producer.close()
        click.echo(f"{sending.remembered} letters were sent once more", err=True)


class _Sending:
    """Sends letters and remembers those that have arrived. Owned by one thread."""

    def __init__(self, letters: DeadLetterReader, producer: BoundedProducer, found: _Found) -> None:
        self.remembered = 0
        self._letters = letters
        self._producer = producer
        self._found = found
        self._under_way: list[tuple[int, int]] = []
        self._under_way_bytes = 0
        self._partitions: dict[str, set[int]] = {}

    def send(self, letter: DeadLetter) -> None:
        if letter.origin is None or letter.origin.number not in self._partitions_of(letter.origin.topic):
            self._found.nowhere += 1
            return
        self._producer.send(letter.origin.topic, resubmission(letter), letter.origin.number)
        self._under_way.append((letter.partition, letter.offset))
        self._under_way_bytes += len(letter.value)
        if len(self._under_way) >= _REMEMBERED_EVERY or self._under_way_bytes >= _REMEMBERED_EVERY_BYTES:
            self.remember()

    def remember(self) -> None:
        """Waits until all that was sent is acknowledged, and commits that."""
        self._producer.flush()
        for number, offset in self._under_way:
            self._letters.resubmissions[number].add(offset)
        self._letters.commit(self._found.known)
        self.remembered += len(self._under_way)
        self._under_way, self._under_way_bytes = [], 0

    def _partitions_of(self, topic: str) -> set[int]:
        if topic not in self._partitions:
            try:
                self._partitions[topic] = self._producer.partitions(topic)
            except BrokerUnavailable:
                self._partitions[topic] = set()
        return self._partitions[topic]


def _print(topic: DeadLetterTopic, letter: DeadLetter, sent_before: bool) -> None:
    click.echo(json.dumps(letter.described(topic.name) | {"sent_before": sent_before}, ensure_ascii=False))
