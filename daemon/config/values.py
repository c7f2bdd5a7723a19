"""The kinds of value a configuration holds, and the strictness every table of it has."""

import ipaddress
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

KeyPath = tuple[str | int, ...]
"""Where a key stands: `("sources", 1, "camera", "device")`."""

CREDENTIAL = "credential:"
"""Before the name of a file that systemd's LoadCredential= gives."""


class FileUse(Enum):
    """What a file that is named in the configuration must be, on the machine that it is used on."""

    READ = "read"
    SECRET = "secret"


def as_tuple(value: Any) -> Any:
    """What TOML calls an array is a tuple here, so that the configuration cannot change."""
    return tuple(value) if isinstance(value, list) else value


def _speed(value: Any) -> Any:
    if value == "max" or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError('must be "max" or a number above 0')


def _device(value: Any) -> Any:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    raise ValueError("must be a number or a name")


def _moment(value: Any) -> Any:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return moment.astimezone(UTC)
    raise ValueError('must be an RFC 3339 time with a zone, such as "2000-01-01T00:00:00Z"')


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" (or "[::1]:port"); ValueError if it is not one."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError('must be "host:port", such as "127.0.0.1:9109"')
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches "host:port"; a host name other than localhost may be anything."""
    return is_loopback_host(split_address(address)[0])


def is_loopback_host(host: str) -> bool:
    """Whether `host` is localhost, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _file(value: str) -> str:
    name = value.removeprefix(CREDENTIAL)
    if name != value and (not name or "/" in name):
        raise ValueError('must be a path, or "credential:NAME" with a name that systemd\'s LoadCredential= gives')
    return value


def _address_or_empty(value: Any) -> Any:
    if isinstance(value, str) and value:
        split_address(value)
    return value


Speed = Annotated[Literal["max"] | float, BeforeValidator(_speed)]
Device = Annotated[int | str, BeforeValidator(_device)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Address = Annotated[str, BeforeValidator(_address_or_empty)]
File = Annotated[str, AfterValidator(_file), FileUse.READ]
SecretFile = Annotated[str, AfterValidator(_file), FileUse.SECRET]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
HostNames = Annotated[
    tuple[Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._-]+$")], ...], BeforeValidator(as_tuple)
]
SessionId = Annotated[str, Field(min_length=1, max_length=256)]


class Section(BaseModel):
    """One table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
