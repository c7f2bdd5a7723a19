"""Kafka in the configuration: topics, security, delivery guarantees.

No secret stands in a configuration, only the file that holds it. What the tables demand of each other is checked in
`daemon.config.contradictions`, and whether the cluster agrees when it is spoken to (`streams.kafka.checks`).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from daemon.config.values import ChannelNames, File, SecretFile, Section, as_tuple, split_address
from streams.kafka.connection import Connection, Mechanism, Protocol, Security


def _servers(value: tuple[str, ...]) -> tuple[str, ...]:
    for server in value:
        host, port = split_address(server)
        if not port or any(sign in host for sign in "/@ "):
            raise ValueError('must be "host:port" each, such as "127.0.0.1:9092"')
    return value


Servers = Annotated[tuple[str, ...], BeforeValidator(as_tuple), AfterValidator(_servers)]
Topic = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]
OptionalTopic = Annotated[str, Field(max_length=249, pattern=r"^[A-Za-z0-9._-]*$")]
ContentTypeName = Annotated[str, Field(min_length=1, max_length=256)]


class KafkaSecurity(Section):
    """Encryption and log-in of a cluster.

    A file is a path, or "credential:NAME" (systemd's LoadCredential=).
    """

    protocol: Protocol = Field(default="plaintext", description="tls and sasl_tls encrypt and check the cluster's name")
    ca_file: File = Field(default="", description="PEM; empty trusts the authorities that the system trusts")
    certificate_file: File = Field(default="", description="PEM; shown where the cluster asks for it (mutual TLS)")
    key_file: SecretFile = Field(default="", description="PEM; empty where certificate_file holds the key too")
    key_password_file: SecretFile = Field(default="", description="holds the password of the key")
    mechanism: Literal["", Mechanism] = Field(default="", description="how to log in with sasl_plaintext and sasl_tls")
    username: str = Field(default="", max_length=256, description="for PLAIN and SCRAM")
    password_file: SecretFile = Field(default="", description="for PLAIN and SCRAM; holds the password")
    token_file: SecretFile = Field(default="", description="for OAUTHBEARER; read again whenever a token is asked for")

    @property
    def security(self) -> Security:
        return Security(**self.model_dump())


class KafkaSourceSettings(Section):
    """The topics that are read, as a member of a consumer group."""

    bootstrap_servers: Servers = Field(
        min_length=1, examples=[["127.0.0.1:9092"]], description="where to ask for the cluster"
    )
    group_id: str = Field(
        default="affectd", min_length=1, max_length=255, description="instances with the same share the sessions"
    )
    instance_id: OptionalTopic = Field(
        default="", description="unique per instance; one that restarts under it keeps its partitions"
    )
    video_topic: OptionalTopic = Field(default="affectd.video", description="empty: video is not read")
    audio_topic: OptionalTopic = Field(default="affectd.audio", description="empty: audio is not read")
    text_topic: OptionalTopic = Field(default="affectd.text", description="empty: text is not read")
    signals_topic: OptionalTopic = Field(
        default="", description='scores from elsewhere, as "affectd.signals"; empty: none are read'
    )
    video_content_type: ContentTypeName = Field(default="image/jpeg", description="of records that do not say theirs")
    audio_content_type: ContentTypeName = Field(
        default="audio/L16;rate=16000;channels=1", description="of records that do not say theirs"
    )
    text_content_type: ContentTypeName = Field(default="text/plain", description="of records that do not say theirs")
    channels: ChannelNames = Field(
        default=(), description="who speaks on each channel of sound, of records without ce_channel"
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest", description="where to begin in partitions that the group has never read"
    )
    create_topics: bool = Field(default=False, description="create the topics that are missing, of the sink too")
    partitions: int = Field(default=3, ge=1, le=10_000, description="of a topic that is created")
    replication_factor: int = Field(
        default=0, ge=0, le=100, description="of a topic that is created; 0 leaves it to the cluster"
    )
    session_timeout_s: float = Field(
        default=10.0, ge=1, le=1800, description="an instance unheard of for this long loses its sessions to the others"
    )
    max_queued_mib: float = Field(
        default=64.0, ge=1, le=65_536, description="reading pauses when this much waits, and goes on at half of it"
    )
    commit_interval_s: float = Field(default=1.0, ge=0.05, le=60, description="how often progress is committed")
    security: KafkaSecurity = KafkaSecurity()

    @property
    def connection(self) -> Connection:
        return Connection(self.bootstrap_servers, self.security.security)

    @property
    def topics(self) -> dict[str, str]:
        """The topic of every modality that is read, by the modality's name."""
        named = {"video": self.video_topic, "audio": self.audio_topic, "text": self.text_topic}
        named["signals"] = self.signals_topic
        return {modality: topic for modality, topic in named.items() if topic}

    @property
    def high_mark_bytes(self) -> int:
        return round(self.max_queued_mib * 2**20)


class KafkaSinkSettings(Section):
    """The topics that results are written to.

    Without servers of its own, they are on the cluster of the Kafka source.
    """

    bootstrap_servers: Servers = Field(default=(), description="empty: servers and security are the Kafka source's")
    predictions_topic: Topic = Field(default="affectd.predictions", description="one prediction per window")
    alerts_topic: Topic = Field(default="affectd.alerts", description="for alerts; nothing writes to it yet")
    dead_letters_topic: Topic = Field(default="affectd.dead-letters", description="records that could not be used")
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="lz4", description="of what is written"
    )
    security: KafkaSecurity = KafkaSecurity()

    @property
    def connection(self) -> Connection:
        return Connection(self.bootstrap_servers, self.security.security)


class DeliverySettings(Section):
    """What is promised to those who read the predictions."""

    guarantee: Literal["at_least_once", "exactly_once"] = Field(
        default="at_least_once",
        description="at_least_once may repeat a prediction, with the same id; exactly_once writes in transactions",
    )
    transactional_id: OptionalTopic = Field(
        default="", description="with exactly_once, unique per instance; empty makes one of group and instance"
    )
    revoke_timeout_s: float = Field(
        default=5.0, ge=0.01, le=300, description="how long giving up partitions may wait for the last commit"
    )

    def transactional_id_of(self, source: KafkaSourceSettings, process: str) -> str:
        """The id of this instance's transactions.

        process: tells this process from every other one.
        """
        return self.transactional_id or f"{source.group_id}.{source.instance_id or process}"
