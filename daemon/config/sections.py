"""The tables of the configuration: keys, defaults, bounds, descriptions.

The models are frozen and strict (a number in quotes is an error, an unknown key too), and their descriptions are the
documentation: `deploy/config/reference.toml` is generated from them. Files, environment and flags are read in
`daemon.config.source`; nothing here touches the machine.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from daemon.config.endpoints import KafkaSinkTable, KafkaSourceTable, Sinks, Sources, StdoutSinkTable
from daemon.config.kafka import DeliverySettings
from daemon.config.values import (
    Address,
    HostNames,
    Modalities,
    Name,
    Names,
    ParticipantName,
    ParticipantNames,
    SecretFile,
    Section,
    Share,
)
from streams.alignment.windows import SegmentGrid, WindowGrid
from streams.clock import NS_PER_MS, NS_PER_S
from streams.kafka.connection import Connection
from streams.participants import ParticipantRules
from streams.speech.session_speech import SpeechConfig


class ProfileSettings(Section):
    """What a profile is for, and what it permits."""

    intended: str = Field(default="", max_length=1000, description="what it is for")
    prohibited: str = Field(default="", max_length=1000, description="what it must not be used for")
    purposes: Names = Field(default=(), description="what privacy.purpose may be; empty permits any")
    jurisdictions: Names = Field(default=(), description="what privacy.jurisdiction may be; empty permits any")


_USUAL_SMOOTHING_S = 50.0  # labels of a steady mood are to change once a minute at most
_MOST_USUAL_STEPS = 240  # where nobody asked for it, smoothing takes no more windows


class WindowSettings(Section):
    """Event time: windows, disorder, grace, idleness and session timeout."""

    size_s: float = Field(default=4.0, ge=0.01, le=600, description="length of a window")
    step_s: float = Field(
        default=1.0, ge=0.01, le=600, description="from one window's start to the next; at most size_s"
    )
    disorder_bound_ms: float = Field(
        default=500,
        ge=0,
        le=600_000,
        description="how far out of order events may arrive; delays every window by as much",
    )
    grace_s: float = Field(default=0.0, ge=0, le=600, description="how long a closed window still accepts events")
    idle_after_s: float = Field(
        default=3.0, ge=0.01, le=3600, description="a stream silent for this long no longer holds windows"
    )
    session_timeout_s: float = Field(
        default=60.0, ge=0.01, le=86_400, description="a session silent for this long is forgotten"
    )
    smoothing_s: float = Field(
        default=_USUAL_SMOOTHING_S,
        ge=0,
        le=60,
        description="answers heed windows that began up to this long before: whole steps, 0 is off; labels flicker "
        "less, unsure changes show up to a window later, risk adds up and fades; without this key about 50 s, or what "
        "session_timeout_s leaves",
    )

    @model_validator(mode="before")
    @classmethod
    def _fit_smoothing(cls, given: Any) -> Any:
        """Fits smoothing to steps and timeout, where none is given."""
        if not isinstance(given, dict) or "smoothing_s" in given:
            return given
        keys = {"size_s": 4.0, "step_s": 1.0, "session_timeout_s": 60.0} | given
        size_s, step_s, timeout_s = (keys[name] for name in ("size_s", "step_s", "session_timeout_s"))
        if not all(type(value) in (int, float) and 0.01 <= value <= 86_400 for value in (size_s, step_s, timeout_s)):
            return given  # an error of its own
        step_ns = round(step_s * NS_PER_S)
        steps = round(min(_USUAL_SMOOTHING_S, timeout_s - size_s) * NS_PER_S) // step_ns
        return given | {"smoothing_s": min(max(0, steps), _MOST_USUAL_STEPS) * step_ns / NS_PER_S}

    @property
    def size_ns(self) -> int:
        return round(self.size_s * NS_PER_S)

    @property
    def step_ns(self) -> int:
        return round(self.step_s * NS_PER_S)

    @property
    def grid(self) -> WindowGrid:
        return WindowGrid(self.size_ns, self.step_ns)

    @property
    def segments(self) -> SegmentGrid:
        """The segments that sound is cut into.

        Pairs of seconds, each second in both its pairs, or single seconds where windows could miss a pair.
        Pairs recognise voices better, and hardly worse than if every window were encoded by itself.
        """
        pairs = SegmentGrid(2 * NS_PER_S, NS_PER_S)
        return pairs if self.grid.covers_every(pairs) else SegmentGrid(NS_PER_S, NS_PER_S)

    @property
    def disorder_bound_ns(self) -> int:
        return round(self.disorder_bound_ms * NS_PER_MS)

    @property
    def smoothing_ns(self) -> int:
        return round(self.smoothing_s * NS_PER_S)

    @property
    def grace_ns(self) -> int:
        return round(self.grace_s * NS_PER_S)

    @property
    def idle_after_ns(self) -> int:
        return round(self.idle_after_s * NS_PER_S)

    @property
    def session_timeout_ns(self) -> int:
        return round(self.session_timeout_s * NS_PER_S)


class VideoSettings(Section):
    """How pictures are sampled and looked at."""

    sample_hz: float = Field(
        default=5.0, ge=0.01, le=120, description="pictures scored per second; the others are not decoded"
    )
    max_side_px: int = Field(
        default=640, ge=64, le=4096, description="pictures are scaled down until the longer side fits"
    )
    max_pixels: int = Field(
        default=33_000_000, ge=4096, le=1_000_000_000, description="pictures with more pixels than this are refused"
    )
    face_policy: Literal["largest", "all"] = Field(default="largest", description="whose expression counts")
    detect_every_s: float = Field(
        default=1.0, ge=0.01, le=60, description="faces are searched for this often, and followed in between"
    )


class AudioSettings(Section):
    """What a record of sound may be."""

    max_record_s: float = Field(
        default=60.0, gt=0, le=600, description="longer sounds are set aside; one is decoded while everything waits"
    )


class TextSettings(Section):
    """What a line of chat may be."""

    max_line_bytes: int = Field(default=65_536, ge=64, le=16_777_216, description="longer lines are set aside")


class ModelSettings(Section):
    """What scores the windows, and on what."""

    path: str = Field(default="default", min_length=1, description='"default" is the one shipped; or a model folder')
    modalities: Modalities = Field(
        default=("video", "audio", "text"),
        min_length=1,
        description="what is scored; the others are left out before anything is computed",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto takes the GPU where there is one")
    set_coverage: float = Field(
        default=0.0,
        ge=0,
        le=0.99,
        description="publish the set of emotions that holds the right one this often (0.8, 0.9 or 0.95 with the model "
        "shipped); 0 is off",
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="CPU threads of one device call; 0 leaves it to the library"
    )
    batch_rows: int = Field(
        default=32, ge=1, le=4096, description="most rows of one device call; raise this before the delay"
    )
    max_delay_ms: float = Field(
        default=20, ge=0, le=10_000, description="how long a row waits for others to fill its batch"
    )


class TranscriptionSettings(Section):
    """What is said becomes text."""

    enabled: bool = Field(default=True, description="whether speech is transcribed, and read as chat is")
    model: str = Field(
        default="auto",
        min_length=1,
        description='"tiny" (English alone), "base" (many languages), a folder with a CTranslate2 model of Whisper, or '
        'the name of one that is in the hub\'s local cache; "auto" takes tiny where it is installed and language is '
        "en, without a GPU, else base",
    )
    language: str = Field(
        default="auto", min_length=1, description='code of the language, as "en"; auto tells it for each session'
    )
    max_delay_s: float = Field(
        default=12.0,
        ge=0.5,
        le=600,
        description="windows of what happens now wait for their words this long at most; utterances of long speech "
        "last up to 10 s",
    )
    when_behind: Literal["drop", "wait"] = Field(
        default="drop",
        description="when more is said than can be transcribed: drop the oldest utterances, or let windows wait; "
        "stored sessions and backlogs always wait",
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="CPU threads of the recogniser; 0 leaves it to the library"
    )

    @property
    def speech(self) -> SpeechConfig | None:
        if not self.enabled:
            return None
        return SpeechConfig(round(self.max_delay_s * NS_PER_S) if self.when_behind == "drop" else None)


class ParticipantSettings(Section):
    """The people of a session, told apart where somebody names them."""

    most_participants: int = Field(
        default=8, ge=0, le=64, description="people of one window who get scores of their own; those who come first"
    )
    score: ParticipantNames = Field(
        default=(),
        description='names and roles of those who are scored, as ["customer"]; others, and what nobody names, are left '
        "out before anything is computed; empty scores everybody",
    )
    follow_faces: bool = Field(
        default=True,
        description="several faces in a picture that nobody names are told apart, as face-1, face-2 from left to right",
    )
    roles: dict[ParticipantName, ParticipantName] = Field(
        default_factory=dict, description="roles by name; a channel's role is its name"
    )

    @property
    def rules(self) -> ParticipantRules:
        return ParticipantRules(self.roles, frozenset(self.score))


class RiskSettings(Section):
    """Signals that risk is scored by, and its levels."""

    signals: dict[Name, Share] = Field(
        default={}, description="weight of each signal by its name, 0 to 1; others count for nothing"
    )
    levels: dict[Name, Share] = Field(
        default={},
        description="least score of low, medium, high or critical, in place of the model's; affectd evaluate prints "
        "what a threshold finds, and its false alarms an hour",
    )
    drowsiness: bool = Field(
        default=False,
        description="closed eyes and nodding of the largest face count; faces are then searched for on every picture",
    )


class PrivacySettings(Section):
    """What the operator has stated and allowed."""

    purpose: str = Field(default="", max_length=128, description="what people are scored for")
    jurisdiction: str = Field(
        default="", max_length=64, description="whose law applies; noted only, nothing acts on it yet"
    )
    transcript: bool = Field(default=False, description="publish what was said and written, with the prediction")


class HttpSettings(Section):
    """Health, metrics, status and events."""

    bind: Address = Field(
        default="127.0.0.1:9109", description='"host:port"; port 0 takes a free one; empty turns it off'
    )
    token_file: SecretFile = Field(
        default="", description="holds the token that requests must bear; needed where bind is not a loopback address"
    )
    allow_anonymous: bool = Field(
        default=False, description="answer whoever reaches bind without a token, on any address"
    )
    allowed_hosts: HostNames = Field(
        default=(),
        description="names beside the bound address that requests may have in their Host header, on any port",
    )


class LifecycleSettings(Section):
    """Starting and stopping."""

    drain_timeout_s: float = Field(
        default=20.0, ge=0, le=3600, description="how long stopping may finish what has begun"
    )
    state_dir: str = Field(
        default="",
        description="folder of this instance alone, to note which records of a log are in hand, so that one that ends "
        "the process twice is a dead letter; empty takes the environment's STATE_DIRECTORY, without that it is off",
    )


class LogSettings(Section):
    """Logs go to stderr, and never hold content."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is logged")
    format: Literal["auto", "json", "human"] = Field(
        default="auto", description="auto is human on a terminal, else json"
    )


class Sections(Section):
    """All tables of the configuration, each valid by itself."""

    extends: str = Field(
        default="",
        description='the configuration that this one adds to: a profile ("affectd profiles" lists them) or a file',
    )
    profile: ProfileSettings = ProfileSettings()
    windows: WindowSettings = WindowSettings()
    video: VideoSettings = VideoSettings()
    audio: AudioSettings = AudioSettings()
    text: TextSettings = TextSettings()
    sources: Sources = Field(default=(), description="where records enter")
    model: ModelSettings = ModelSettings()
    transcription: TranscriptionSettings = TranscriptionSettings()
    sinks: Sinks = Field(default=(StdoutSinkTable(kind="stdout"),), description="where predictions leave")
    delivery: DeliverySettings = DeliverySettings()
    participants: ParticipantSettings = ParticipantSettings()
    risk: RiskSettings = RiskSettings()
    privacy: PrivacySettings = PrivacySettings()
    http: HttpSettings = HttpSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    log: LogSettings = LogSettings()

    @property
    def profile_name(self) -> str:
        """What predictions name: the profile or, without one, the purpose."""
        return Path(self.extends).stem or self.privacy.purpose or "default"

    @property
    def kafka_source(self) -> KafkaSourceTable | None:
        """The one source that reads from Kafka, if configured."""
        return next((source for source in self.sources if isinstance(source, KafkaSourceTable)), None)

    @property
    def kafka_sink(self) -> KafkaSinkTable | None:
        """The one sink that writes to Kafka, if configured."""
        return next((sink for sink in self.sinks if isinstance(sink, KafkaSinkTable)), None)

    @property
    def kafka_sink_connection(self) -> Connection | None:
        """The cluster that the Kafka sink writes to.

        Its own, or the Kafka source's where it names none.
        """
        if self.kafka_sink is None:
            return None
        if self.kafka_source is not None and not self.kafka_sink.kafka.bootstrap_servers:
            return self.kafka_source.kafka.connection
        return self.kafka_sink.kafka.connection
