"""The `[[sources]]` and `[[sinks]]` of the configuration.

Each has a `kind` and one table of settings of that name, so that every kind is checked by its own rules.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from daemon.config.kafka import KafkaSinkSettings, KafkaSourceSettings
from daemon.config.values import (
    Address,
    CameraDeviceId,
    CapturedChannels,
    ChannelNames,
    DeviceId,
    Moment,
    Name,
    OptionalParticipant,
    OptionalSessionId,
    Section,
    SessionId,
    Speed,
    as_tuple,
)


class CameraSettings(Section):
    """One camera."""

    device: CameraDeviceId = Field(default=0, description="number, path (/dev/video0) or URL (rtsp://...)")
    session: SessionId = Field(examples=["room-1"], description="the session its pictures belong to")
    participant: OptionalParticipant = Field(
        default="", description="whose pictures they are, where it sees one person alone"
    )


class MicrophoneSettings(Section):
    """One microphone."""

    device: DeviceId = Field(default="default", description="name or number, as `affectd devices` lists them")
    session: SessionId = Field(examples=["room-1"], description="the session its sound belongs to")
    rate_hz: int = Field(default=16_000, ge=8000, le=192_000, description="samples per second to capture")
    channels: CapturedChannels = Field(
        default=1,
        description="how many channels to capture, at most 8, mixed to one; or the name of who speaks on each, as "
        '["agent", "customer"], to tell them apart',
    )
    participant: OptionalParticipant = Field(default="", description="whose sound it is, where one person alone speaks")

    @property
    def channel_count(self) -> int:
        return self.channels if isinstance(self.channels, int) else len(self.channels)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return () if isinstance(self.channels, int) else self.channels


class ChatSettings(Section):
    """One place that chat lines come from."""

    transport: Literal["stdin", "file", "unix", "tcp", "http"] = Field(
        examples=["http"], description="a followed file, a line socket, or POST /chat/{session} of this daemon"
    )
    path: str = Field(default="", description="of the file or of the Unix socket")
    address: Address = Field(default="", description='"host:port" that the tcp transport listens on')
    session: OptionalSessionId = Field(
        default="", description="the session its lines belong to; with http the URL says it"
    )


class MediaSettings(Section):
    """Media files, each a session of its name.

    With NAME.chat.jsonl beside it where there is chat.
    """

    paths: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(
        min_length=1, examples=[["session.mp4"]], description="files to play"
    )
    speed: Speed = Field(default=1.0, description='times real time, or "max"')
    start: Moment = Field(
        default=datetime(2000, 1, 1, tzinfo=UTC), description="event time of the first sample (RFC 3339)"
    )
    participant: OptionalParticipant = Field(
        default="", description="whose pictures and sound they are, where they show one person alone"
    )
    channels: ChannelNames = Field(default=(), description="who speaks on each channel of their sound")

    @property
    def factor(self) -> float | None:
        """Times real time; None for as fast as it is taken."""
        return None if self.speed == "max" else self.speed

    @property
    def start_ns(self) -> int:
        return (self.start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


class RecordedSettings(Section):
    """A recorded session."""

    path: str = Field(min_length=1, examples=["recorded/room-1"], description="the session's folder")
    speed: Speed = Field(default=1.0, description='times real time, or "max"')

    @property
    def factor(self) -> float | None:
        """Times real time; None for as fast as it is taken."""
        return None if self.speed == "max" else self.speed


Required = Annotated[bool, Field(description="whether /readyz is false while it is away or has failed")]


class CameraSourceTable(Section):
    kind: Literal["camera"]
    name: Name = Field(default="camera", description="unique; labels its metrics and logs")
    required: Required = True
    camera: CameraSettings


class MicrophoneSourceTable(Section):
    kind: Literal["microphone"]
    name: Name = Field(default="microphone", description="unique; labels its metrics and logs")
    required: Required = True
    microphone: MicrophoneSettings


class ChatSourceTable(Section):
    kind: Literal["chat"]
    name: Name = Field(default="chat", description="unique; labels its metrics and logs")
    required: Required = True
    chat: ChatSettings


class MediaSourceTable(Section):
    kind: Literal["media"]
    name: Name = Field(default="media", description="unique; labels its metrics and logs")
    required: Required = True
    media: MediaSettings


class RecordedSourceTable(Section):
    kind: Literal["recorded"]
    name: Name = Field(default="recorded", description="unique; labels its metrics and logs")
    required: Required = True
    recorded: RecordedSettings


class KafkaSourceTable(Section):
    kind: Literal["kafka"]
    name: Name = Field(default="kafka", description="unique; labels its metrics and logs")
    required: Required = True
    kafka: KafkaSourceSettings


SourceTable = (
    CameraSourceTable
    | MicrophoneSourceTable
    | ChatSourceTable
    | MediaSourceTable
    | RecordedSourceTable
    | KafkaSourceTable
)


class FileSettings(Section):
    """A file of predictions, one JSON object per line."""

    path: str = Field(
        min_length=1, examples=["predictions.jsonl"], description="appended to; created where it is missing"
    )


class StdoutSinkTable(Section):
    kind: Literal["stdout"]


class FileSinkTable(Section):
    kind: Literal["file"]
    file: FileSettings


class KafkaSinkTable(Section):
    kind: Literal["kafka"]
    kafka: KafkaSinkSettings = KafkaSinkSettings()


SinkTable = StdoutSinkTable | FileSinkTable | KafkaSinkTable

Sources = Annotated[tuple[Annotated[SourceTable, Field(discriminator="kind")], ...], BeforeValidator(as_tuple)]
Sinks = Annotated[tuple[Annotated[SinkTable, Field(discriminator="kind")], ...], BeforeValidator(as_tuple)]


def _by_kind(union: object) -> dict[str, type[Section]]:
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in get_args(union)}


SOURCES_BY_KIND = _by_kind(SourceTable)
SINKS_BY_KIND = _by_kind(SinkTable)
