"""Checks files, folders and devices that a configuration names.

Are they there, and do they fit? Only looked at, never opened for reading by a device or written to, so that looking is
safe while a daemon runs. What may still come (a camera that is plugged in later) is a remark that stops nobody. Left
out: what only a connection or a library tells, such as ports in use, brokers and microphones
(`daemon.commands.doctor`).
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from daemon.config import Config
from daemon.config.endpoints import CameraSettings, ChatSettings, FileSettings, MediaSettings, RecordedSettings
from daemon.config.kafka import KafkaSecurity
from daemon.config.sections import ModelSettings
from daemon.config.values import FileUse, KeyPath, Section
from streams.kafka.connection import ConnectionProblem, credential_path, read_secret, tls_context

_MODEL_FILES = ("model.json", "weights.safetensors")
_OTHERS = stat.S_IRWXO | stat.S_IWGRP  # a group may read what it is given


class Remark(NamedTuple):
    """One thing on the machine that is not as configured.

    is_warning: whether it can work all the same.
    """

    path: KeyPath
    sentence: str
    value: Any
    is_warning: bool = False


def remarks(config: Config) -> Iterator[Remark]:
    """Everything that is missing or unfit.

    Entries of `sources` and `sinks` that are None are passed over.
    """
    for name in type(config).model_fields:
        part = getattr(config, name)
        for index, entry in enumerate(part) if isinstance(part, tuple) else ((None, part),):
            if isinstance(entry, Section):
                yield from _of_table((name,) if index is None else (name, index), entry)


def _of_table(at: KeyPath, table: Section) -> Iterator[Remark]:
    for key, field in type(table).model_fields.items():
        value = getattr(table, key)
        if isinstance(value, Section):
            yield from _of_table((*at, key), value)
        elif value and (use := next((each for each in field.metadata if isinstance(each, FileUse)), None)):
            yield from _of_file((*at, key), value, use)
    match table:
        case ModelSettings(path=path) if path != "default":
            yield from _of_model((*at, "path"), Path(path))
        case CameraSettings(device=device):
            yield from _of_camera((*at, "device"), str(device))
        case MediaSettings(paths=paths):
            for index, path in enumerate(paths):
                yield from _readable((*at, "paths", index), Path(path))
        case RecordedSettings(path=path):
            yield from _readable((*at, "path"), Path(path))
        case ChatSettings(transport="unix", path=path):
            if not os.access(Path(path).absolute().parent, os.W_OK | os.X_OK):
                yield Remark((*at, "path"), "lies in a folder that is missing or may not be written", path)
        case ChatSettings(transport="file", path=path):
            yield from (remark._replace(is_warning=True) for remark in _readable((*at, "path"), Path(path)))
        case FileSettings(path=path):
            yield from _appendable((*at, "path"), Path(path))
        case KafkaSecurity(protocol="tls" | "sasl_tls"):
            yield from _of_certificates(at, table)


def _of_file(at: KeyPath, file: str, use: FileUse) -> Iterator[Remark]:
    try:
        path = credential_path(file)
    except ConnectionProblem:
        yield Remark(at, "cannot be looked at here: only systemd gives credentials (LoadCredential=)", file, True)
        return
    unreadable = list(_readable(at, path, value=file))
    yield from unreadable
    if unreadable or use is not FileUse.SECRET or not path.is_file():
        return
    mode = path.stat().st_mode
    if mode & _OTHERS:
        yield Remark(at, f"may be read or changed by others (mode {stat.S_IMODE(mode):04o}); chmod 600 it", file, True)
    try:
        read_secret(file)
    except ConnectionProblem as problem:
        yield Remark(at, f"cannot be used: {str(problem).removeprefix(file).strip()}", file)


def _of_certificates(at: KeyPath, security: KafkaSecurity) -> Iterator[Remark]:
    """Whether certificate files fit each other.

    Said only where all of them can be read.
    """
    files = (security.ca_file, security.certificate_file, security.key_file, security.key_password_file)
    try:
        if all(credential_path(file).is_file() and os.access(credential_path(file), os.R_OK) for file in files if file):
            tls_context(security.security)
    except ConnectionProblem as problem:
        if "no credentials here" not in str(problem):
            yield Remark(at, str(problem), security.protocol)


def _of_model(at: KeyPath, folder: Path) -> Iterator[Remark]:
    missing = [name for name in _MODEL_FILES if not os.access(folder / name, os.R_OK)]
    if missing:
        yield Remark(at, f"is no model folder: {' and '.join(missing)} cannot be read there", str(folder))


def _of_camera(at: KeyPath, device: str) -> Iterator[Remark]:
    path = Path(f"/dev/video{device}" if device.isdigit() else device)
    if "://" not in device and not path.exists():
        yield Remark(at, "is not there now; the daemon waits for it (affectd devices lists cameras)", device, True)


def _readable(at: KeyPath, path: Path, value: str | None = None) -> Iterator[Remark]:
    if not path.exists():
        yield Remark(at, "is not there", value or str(path))
    elif not os.access(path, os.R_OK):
        yield Remark(at, "may not be read by this user", value or str(path))


def _appendable(at: KeyPath, path: Path) -> Iterator[Remark]:
    """Whether a file can be appended to, its folder made.

    Missing folders are made where the closest one that is there allows it.
    """
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if path.is_dir():
        yield Remark(at, "is a folder; a file is needed", str(path))
    elif there == path.absolute():
        if not os.access(path, os.W_OK):
            yield Remark(at, "may not be written by this user", str(path))
    elif not there.is_dir():
        yield Remark(at, f"cannot be made: {there} is no folder", str(path))
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Remark(at, f"cannot be made: this user may not write into {there}", str(path))
