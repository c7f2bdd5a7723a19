"""Keys that are valid by themselves and contradict each other.

Every contradiction is told, with the key that a person would change. Nothing is read from the machine.
"""

import os
from collections.abc import Iterator
from typing import Any

from daemon.config.endpoints import (
    CameraSourceTable,
    ChatSettings,
    ChatSourceTable,
    FileSinkTable,
    KafkaSinkTable,
    KafkaSourceTable,
    MediaSourceTable,
    MicrophoneSourceTable,
    StdoutSinkTable,
)
from daemon.config.kafka import DeliverySettings, KafkaSecurity, KafkaSinkSettings, KafkaSourceSettings
from daemon.config.sections import HttpSettings, Sections, WindowSettings
from daemon.config.values import KeyPath, dotted, is_loopback
from streams.clock import NS_PER_S

Contradiction = tuple[KeyPath, str, Any]
"""Key path, sentence, and the value that stands there."""

_LEAST_DROWSINESS_HZ = 5
_MOST_OVERLAPPING = 1000  # windows that hold one event
_TLS_FILES = ("ca_file", "certificate_file", "key_file", "key_password_file")
_LOGINS: dict[str, tuple[str, ...]] = {
    "PLAIN": ("username", "password_file"),
    "SCRAM-SHA-256": ("username", "password_file"),
    "SCRAM-SHA-512": ("username", "password_file"),
    "OAUTHBEARER": ("token_file",),
}


def contradictions(config: Sections) -> Iterator[Contradiction]:
    """Everything in `config` that contradicts something else there."""
    yield from inside(config)
    yield from _between(config)


def inside(config: Sections) -> Iterator[Contradiction]:
    """What contradicts itself within one table.

    Entries of lists that are None are passed over.
    """
    yield from _of_windows(config.windows)
    yield from _of_http(config.http)
    for index, source in enumerate(config.sources):
        if isinstance(source, ChatSourceTable):
            yield from _of_chat(("sources", index, "chat"), source.chat)
        elif isinstance(source, MediaSourceTable):
            yield from _of_channels(("sources", index, "media"), source.media.participant, source.media.channels)
        elif isinstance(source, MicrophoneSourceTable):
            named = source.microphone.channel_names
            yield from _of_channels(("sources", index, "microphone"), source.microphone.participant, named)
        elif isinstance(source, KafkaSourceTable):
            yield from _of_kafka_source(("sources", index, "kafka"), source.kafka)
    for index, sink in enumerate(config.sinks):
        if isinstance(sink, KafkaSinkTable):
            yield from _of_security(("sinks", index, "kafka", "security"), sink.kafka.security)


def _between(config: Sections) -> Iterator[Contradiction]:
    """What tables demand of each other."""
    for key, permitted in (("purpose", config.profile.purposes), ("jurisdiction", config.profile.jurisdictions)):
        stated = getattr(config.privacy, key)
        if permitted and stated not in permitted:
            sentence = f"must be one of {', '.join(permitted)}, which the profile {config.profile_name} permits"
            yield ("privacy", key), sentence, stated
    if config.risk.drowsiness and config.video.sample_hz < _LEAST_DROWSINESS_HZ:
        sentence = f"must be at least {_LEAST_DROWSINESS_HZ} with risk.drowsiness, which tells blinks by their length"
        yield ("video", "sample_hz"), sentence, config.video.sample_hz
    yield from _repeated(config)
    yield from _shared(config)
    kafka = config.kafka_source
    for index, sink in enumerate(config.sinks):
        if isinstance(sink, KafkaSinkTable):
            yield from _of_kafka_sink(("sinks", index, "kafka"), sink.kafka, kafka.kafka if kafka else None)
    yield from _of_delivery(config.delivery, kafka, config.kafka_sink)
    if config.delivery.guarantee == "exactly_once" and config.windows.grace_s:
        sentence = "must be 0 with delivery.guarantee exactly_once: a window that is revised is published again"
        yield ("windows", "grace_s"), sentence, config.windows.grace_s


def _of_windows(windows: WindowSettings) -> Iterator[Contradiction]:
    if windows.step_s > windows.size_s:
        yield ("windows", "step_s"), f"must be at most windows.size_s, {windows.size_s}", windows.step_s
    elif not windows.grid.covers_every(windows.segments):
        sentence = (
            "leaves seconds of sound that lie whole in no window; take a step of whole seconds, or a longer window"
        )
        yield ("windows", "step_s"), sentence, windows.step_s
    if windows.size_ns > _MOST_OVERLAPPING * windows.step_ns:
        sentence = f"must be at least a thousandth of windows.size_s, {windows.size_s / _MOST_OVERLAPPING:g}"
        yield ("windows", "step_s"), sentence, windows.step_s
    if windows.smoothing_ns % windows.step_ns:
        sentence = f"must be a multiple of windows.step_s, {windows.step_s}"
        yield ("windows", "smoothing_s"), sentence, windows.smoothing_s
    if windows.smoothing_ns and windows.session_timeout_ns < windows.size_ns + windows.smoothing_ns:
        least_s = (windows.size_ns + windows.smoothing_ns) / NS_PER_S
        sentence = (
            f"must be at least windows.size_s and windows.smoothing_s together, {least_s}: "
            "a session that is forgotten is not smoothed by what was before"
        )
        yield ("windows", "session_timeout_s"), sentence, windows.session_timeout_s


def _of_http(http: HttpSettings) -> Iterator[Contradiction]:
    if http.bind and not (is_loopback(http.bind) or http.token_file or http.allow_anonymous):
        sentence = (
            "is reached from other machines, so it needs http.token_file, or http.allow_anonymous = true for no token"
        )
        yield ("http", "bind"), sentence, http.bind
    if http.token_file and http.allow_anonymous:
        yield ("http", "allow_anonymous"), "has no meaning with http.token_file", True


def _repeated(config: Sections) -> Iterator[Contradiction]:
    names: set[str] = set()
    for index, source in enumerate(config.sources):
        if source.name in names:
            yield ("sources", index, "name"), "must be unique; another source has this name", source.name
        names.add(source.name)
    for key, entries in (("sources", config.sources), ("sinks", config.sinks)):
        kafka = [index for index, entry in enumerate(entries) if entry.kind == "kafka"]
        for index in kafka[1:]:
            yield (key, index, "kind"), f"there may be one of this kind; {key}[{kafka[0]}] is one", "kafka"


def _shared(config: Sections) -> Iterator[Contradiction]:
    """What only one part of the daemon can use.

    That is a file, an address, a device, standard input and output.
    """
    users: dict[tuple[str, str], str] = {}
    for path, use, value in _uses(config):
        if (use, value) in users:
            yield path, f"is used by {users[use, value]} too; give each its own", value
        users.setdefault((use, value), dotted(path))


def _uses(config: Sections) -> Iterator[tuple[KeyPath, str, str]]:
    if config.http.bind and not config.http.bind.endswith(":0"):
        yield ("http", "bind"), "address", config.http.bind
    for index, source in enumerate(config.sources):
        match source:
            case CameraSourceTable(camera=camera):
                device = str(camera.device)
                yield ("sources", index, "camera", "device"), "camera", device.removeprefix("/dev/video")
            case ChatSourceTable(chat=chat):
                at = ("sources", index, "chat")
                if chat.path:
                    yield (*at, "path"), "file", os.path.abspath(chat.path)
                elif chat.address and not chat.address.endswith(":0"):
                    yield (*at, "address"), "address", chat.address
                elif chat.transport in ("stdin", "http"):
                    yield (*at, "transport"), "transport", chat.transport
    for index, sink in enumerate(config.sinks):
        match sink:
            case FileSinkTable(file=file):
                yield ("sinks", index, "file", "path"), "file", os.path.abspath(file.path)
            case StdoutSinkTable():
                yield ("sinks", index, "kind"), "kind", "stdout"


def _of_chat(at: KeyPath, chat: ChatSettings) -> Iterator[Contradiction]:
    needs_path, needs_address = chat.transport in ("file", "unix"), chat.transport == "tcp"
    for key, needed in (("path", needs_path), ("address", needs_address), ("session", chat.transport != "http")):
        value = getattr(chat, key)
        if needed and not value:
            yield (*at, key), f"is required with transport {chat.transport}", value
        elif value and not needed:
            yield (*at, key), f"has no meaning with transport {chat.transport}", value


def _of_channels(at: KeyPath, participant: str, channels: tuple[str, ...]) -> Iterator[Contradiction]:
    if participant and channels:
        yield (*at, "participant"), "has no meaning with names of channels: each of them is somebody", participant


def _of_kafka_source(at: KeyPath, source: KafkaSourceSettings) -> Iterator[Contradiction]:
    if not source.topics:
        yield (*at, "text_topic"), "must be set, or another of the topics: this source reads nothing", source.text_topic
    seen: set[str] = set()
    for modality, topic in source.topics.items():
        if topic in seen:
            yield (*at, f"{modality}_topic"), "must be a topic of its own; another modality is read from it", topic
        seen.add(topic)
    yield from _of_security((*at, "security"), source.security)


def _of_kafka_sink(at: KeyPath, sink: KafkaSinkSettings, source: KafkaSourceSettings | None) -> Iterator[Contradiction]:
    if not sink.bootstrap_servers and source is None:
        yield (*at, "bootstrap_servers"), "is required where there is no Kafka source to take it from", []
    if not sink.bootstrap_servers and sink.security != KafkaSecurity():
        sentence = "has no meaning without bootstrap_servers: servers and security are the Kafka source's"
        yield (*at, "security"), sentence, sink.security.protocol
    read = set(source.topics.values()) if source else set()
    seen: set[str] = set()
    for key in ("predictions_topic", "alerts_topic", "dead_letters_topic"):
        topic = getattr(sink, key)
        if topic in read or topic in seen:
            use = "records are read from it" if topic in read else "something else is written to it"
            yield (*at, key), f"must be a topic of its own; {use}", topic
        seen.add(topic)


def _of_delivery(
    delivery: DeliverySettings, source: KafkaSourceTable | None, sink: KafkaSinkTable | None
) -> Iterator[Contradiction]:
    if delivery.guarantee == "at_least_once":
        if delivery.transactional_id:
            yield (
                ("delivery", "transactional_id"),
                "has no meaning with guarantee at_least_once",
                delivery.transactional_id,
            )
    elif source is None or sink is None:
        yield ("delivery", "guarantee"), "needs a Kafka source and a Kafka sink", delivery.guarantee
    elif sink.kafka.bootstrap_servers and set(sink.kafka.bootstrap_servers) != set(source.kafka.bootstrap_servers):
        sentence = "needs source and sink on one cluster; leave out the sink's bootstrap_servers"
        yield ("delivery", "guarantee"), sentence, delivery.guarantee


def _of_security(at: KeyPath, security: KafkaSecurity) -> Iterator[Contradiction]:
    protocol, mechanism = security.protocol, security.mechanism
    tls, sasl = protocol in ("tls", "sasl_tls"), protocol in ("sasl_plaintext", "sasl_tls")
    for key in _TLS_FILES:
        if not tls and getattr(security, key):
            yield (*at, key), f"has no meaning with protocol {protocol}", getattr(security, key)
    if tls and not security.certificate_file and (security.key_file or security.key_password_file):
        yield (*at, "certificate_file"), "is required with a key", security.certificate_file
    if sasl and not mechanism:
        yield (*at, "mechanism"), f"is required with protocol {protocol}", mechanism
        return
    if mechanism and not sasl:
        yield (*at, "mechanism"), f"has no meaning with protocol {protocol}", mechanism
    chosen = f"mechanism {mechanism}" if sasl else f"protocol {protocol}"
    needed = _LOGINS[mechanism] if sasl else ()
    for key in sorted({*_LOGINS["PLAIN"], *_LOGINS["OAUTHBEARER"]}):
        value = getattr(security, key)
        if key in needed and not value:
            yield (*at, key), f"is required with {chosen}", value
        elif value and key not in needed:
            yield (*at, key), f"has no meaning with {chosen}", value
