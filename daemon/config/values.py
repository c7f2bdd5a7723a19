"""Value types of the configuration, and the base of its tables."""

import ipaddress
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from streams.participants import CHANNEL_RULE, are_channel_names, is_participant_name
from streams.redaction import redacted_address

LEAST_SPEED, MOST_SPEED = 0.001, 1_000_000.0  # times real time: what is slower ends never, what is faster is "max"
_MOST_DEVICES = 9999
_MOST_CAPTURED_CHANNELS = 8
_CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp")

KeyPath = tuple[str | int, ...]
"""Where a key stands: `("sources", 1, "camera", "device")`."""


def dotted(path: KeyPath) -> str:
    """The key path as it is spoken of: `sources[1].camera.device`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def without_secrets(value: Any) -> Any:
    """A value of JSON with secrets in addresses masked."""
    match value:
        case str():
            return redacted_address(value)
        case dict():
            return {redacted_address(str(key)): without_secrets(inner) for key, inner in value.items()}
        case list() | tuple():
            return [without_secrets(inner) for inner in value]
    return value


class FileUse(Enum):
    """What a file that the configuration names is for."""

    READ = "read"
    SECRET = "secret"


def as_tuple(value: Any) -> Any:
    """Makes an array of TOML an immutable tuple."""
    return tuple(value) if isinstance(value, list) else value


def _speed(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == "max" or (is_number and LEAST_SPEED <= value <= MOST_SPEED):
        return value
    raise ValueError(f'must be "max" or a number from {LEAST_SPEED:g} to {MOST_SPEED:g}')


def _device(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_DEVICES:
        return value
    raise ValueError(f"must be a number from 0 to {_MOST_DEVICES} or a name")


def _camera(value: Any) -> Any:
    scheme, colon, _ = str(value).partition("://")
    if colon and scheme.lower() not in _CAMERA_SCHEMES:
        raise ValueError(f"must be a number, a path, or an address with one of {', '.join(_CAMERA_SCHEMES)}")
    return value


def _moment(value: Any) -> Any:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not (isinstance(moment, datetime) and moment.tzinfo is not None):
        raise ValueError('must be an RFC 3339 time with a zone, such as "2000-01-01T00:00:00Z"')
    if not 1970 < moment.year < 2200:  # nanoseconds are counted from 1970, in 64 bits
        raise ValueError("must be a time from 1971 to 2199")
    return moment.astimezone(UTC)


def _session(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be of printable characters")
    return value


def _participant(value: str) -> str:
    if value and not is_participant_name(value):
        raise ValueError("must have 1 to 256 printable characters")
    return value


def _channel_names(value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not are_channel_names(value):
        raise ValueError(f"must be {CHANNEL_RULE}")
    return value


def _captured_channels(value: Any) -> Any:
    names = tuple(value) if isinstance(value, list | tuple) else ()
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_CAPTURED_CHANNELS
    is_names = all(isinstance(name, str) for name in names) and are_channel_names(names)
    if is_number or (is_names and len(names) <= _MOST_CAPTURED_CHANNELS):
        return names or value
    raise ValueError(f"must be a number from 1 to {_MOST_CAPTURED_CHANNELS}, or as many names, each another")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:port".

    ValueError if it is not one.
    """
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError('must be "host:port", such as "127.0.0.1:9109"')
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether "host:port" is a loopback address.

    A host name other than localhost may be anything.
    """
    return is_loopback_host(split_address(address)[0])


def is_loopback_host(host: str) -> bool:
    """Whether `host` is localhost, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _file(value: str) -> str:
    name = value.removeprefix("credential:")
    if name != value and (not name or "/" in name):
        raise ValueError('must be a path, or "credential:NAME" with a name that systemd\'s LoadCredential= gives')
    return value


def _address_or_empty(value: Any) -> Any:
    if isinstance(value, str) and value:
        split_address(value)
    return value


Speed = Annotated[Literal["max"] | float, BeforeValidator(_speed)]
DeviceId = Annotated[int | str, BeforeValidator(_device)]
CameraDeviceId = Annotated[DeviceId, AfterValidator(_camera)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Address = Annotated[str, BeforeValidator(_address_or_empty)]
File = Annotated[str, AfterValidator(_file), FileUse.READ]
SecretFile = Annotated[str, AfterValidator(_file), FileUse.SECRET]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
HostNames = Annotated[
    tuple[Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._-]+$")], ...], BeforeValidator(as_tuple)
]
Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], BeforeValidator(as_tuple)]
SessionId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_session)]
ParticipantName = Annotated[str, Field(min_length=1), AfterValidator(_participant)]
OptionalParticipant = Annotated[str, AfterValidator(_participant)]
ParticipantNames = Annotated[tuple[ParticipantName, ...], BeforeValidator(as_tuple)]
ChannelNames = Annotated[tuple[str, ...], BeforeValidator(as_tuple), AfterValidator(_channel_names)]
CapturedChannels = Annotated[int | tuple[str, ...], BeforeValidator(_captured_channels)]
Modalities = Annotated[tuple[Literal["video", "audio", "text"], ...], BeforeValidator(as_tuple)]
Share = Annotated[float, Field(ge=0, le=1)]
OptionalSessionId = Annotated[str, Field(max_length=256), AfterValidator(_session)]


class Section(BaseModel):
    """One table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
