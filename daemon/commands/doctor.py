"""Diagnoses this machine: what works, and what to do otherwise.

Each check looks at one thing and yields findings; a check that breaks is itself a finding, so that one fault never
hides the next. Nothing is changed: no device is opened for longer than a look, no file is written.
"""

import importlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.config import Config
from daemon.config.endpoints import ChatSourceTable, FileSinkTable, MicrophoneSourceTable
from daemon.config.errors import shown
from daemon.config.surroundings import remarks
from daemon.config.values import dotted, split_address
from daemon.kafka.clusters import required_clusters
from streams.findings import Finding, Verdict
from streams.kafka.checks import diagnose_cluster
from streams.sources.base import SourceError
from streams.sources.devices import discovery

_LIBRARIES = {
    "torch": "scores the windows",
    "onnxruntime": "finds faces and reads text",
    "faster_whisper": "finds speech in sound",
    "ctranslate2": "recognises words",
    "cv2": "reads cameras and pictures",
    "av": "reads media files",
    "soundfile": "reads sound",
    "soxr": "resamples sound",
    "kafka": "reads and writes Kafka",
    "crc32c": "checks what Kafka sends (in Python that takes 20 times as long)",
    "lz4": "unpacks what Kafka sends",
    "snappy": "unpacks what Kafka sends",
    "zstandard": "unpacks what Kafka sends",
}
_LEAST_FREE_BYTES = 2**30


Check = Callable[[Config], Iterator[Finding]]


def diagnose(config: Config) -> Iterator[Finding]:
    """Looks at everything `config` needs, one finding after the other."""
    for check in (_libraries, _accelerator, _model, _recognizer, _devices, _named, _listening, _room, _kafka):
        try:
            yield from check(config)
        except Exception as error:
            yield Finding(Verdict.BAD, check.__name__.strip("_"), f"cannot be checked: {type(error).__name__}: {error}")


def _libraries(_: Config) -> Iterator[Finding]:
    for name, use in _LIBRARIES.items():
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:
            yield Finding(Verdict.BAD, name, f"cannot be imported, and {use}: {error}")
        else:
            yield Finding(Verdict.GOOD, name, str(getattr(module, "__version__", "present")))


def _accelerator(config: Config) -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        free_bytes, total_bytes = torch.cuda.mem_get_info()
        memory = f"{free_bytes / 2**30:.1f} of {total_bytes / 2**30:.1f} GiB free"
        yield Finding(Verdict.GOOD, "gpu", f"{torch.cuda.get_device_name()}, {memory}")
    elif config.model.device == "cuda":
        yield Finding(Verdict.BAD, "gpu", "none can be used, but model.device is cuda; install its driver, or set auto")
    else:
        cores = len(os.sched_getaffinity(0))
        yield Finding(Verdict.NOTE, "gpu", f"none can be used; windows are scored on {cores} CPU cores")


def _model(config: Config) -> Iterator[Finding]:
    from models.artifact import SHIPPED, ModelError, read_model_folder

    path = SHIPPED if config.model.path == "default" else Path(config.model.path)
    try:
        manifest = read_model_folder(path).manifest
    except ModelError as error:
        yield Finding(Verdict.BAD, "model", f"{error}; set model.path to a whole model folder")
    else:
        yield Finding(Verdict.GOOD, "model", f"{manifest.name} {manifest.version} in {path}")


def _recognizer(config: Config) -> Iterator[Finding]:
    """Loads the recogniser: a whole model may lack the language."""
    from daemon.scoring.recognizer import load_recognizer
    from models.artifact import ModelError
    from models.device import DeviceUnavailableError
    from models.transcription.model_files import PACKAGED

    wanted = config.transcription
    try:
        recognizer = load_recognizer(config)
    except (ModelError, DeviceUnavailableError) as error:
        remedy = "set transcription.model and language to what is there, or transcription.enabled = false"
        yield Finding(Verdict.BAD, "recogniser", f"{error}; {remedy}")
        return
    if recognizer is None:
        yield Finding(Verdict.NOTE, "recogniser", "switched off: what is said is not read; see transcription.enabled")
        return
    count = len(recognizer.languages)
    language = wanted.language if wanted.language != "auto" else f"any of {count} languages"
    language = language if count > 1 else recognizer.languages[0]
    origin = "an installed package" if wanted.model in PACKAGED else wanted.model
    yield Finding(Verdict.GOOD, "recogniser", f"{recognizer.name} of {origin}, language {language}")


def _devices(config: Config) -> Iterator[Finding]:
    for camera in discovery.cameras():
        verdict = Verdict.GOOD if camera.problem is None else Verdict.NOTE
        yield Finding(verdict, f"camera {camera.path}", camera.problem or camera.name)
    try:
        microphones = discovery.microphones()
    except SourceError as error:
        wanted = any(isinstance(source, MicrophoneSourceTable) for source in config.sources)
        yield Finding(Verdict.BAD if wanted else Verdict.NOTE, "microphones", str(error))
        return
    for microphone in microphones:
        yield Finding(Verdict.GOOD, f"microphone {microphone.index}", microphone.name)


def list_cameras() -> Iterator[str]:
    """One line per camera, tab-separated.

    Kind, what `device` is set to, and what it is.
    """
    for camera in discovery.cameras():
        yield f"camera\t{camera.path}\t{camera.name}{f' ({camera.problem})' if camera.problem else ''}"


def list_microphones() -> Iterator[str]:
    """One line per microphone; SourceError where they cannot be listed."""
    for microphone in discovery.microphones():
        facts = f"{microphone.system}, {microphone.channels} channels, {microphone.rate_hz} Hz"
        yield f"microphone\t{microphone.index}\t{microphone.name} ({facts}{', default' * microphone.is_default})"


def _named(config: Config) -> Iterator[Finding]:
    """Checks what the configuration names on this machine.

    The model has a check of its own.
    """
    if not config.sources:
        yield Finding(Verdict.NOTE, "sources", "none is configured, and affectd run needs one; see --config")
    found = [remark for remark in remarks(config) if remark.path[0] != "model"]
    for remark in found:
        verdict = Verdict.NOTE if remark.is_warning else Verdict.BAD
        yield Finding(verdict, dotted(remark.path), f"{remark.sentence} (is {shown(remark.path, remark.value)})")
    if not found:
        yield Finding(Verdict.GOOD, "files", "all that the configuration names are there")


def _listening(config: Config) -> Iterator[Finding]:
    addresses = {"http": config.http.bind} if config.http.bind else {}
    chats = [source for source in config.sources if isinstance(source, ChatSourceTable)]
    addresses |= {chat.name: chat.chat.address for chat in chats if chat.chat.address}
    for subject, address in addresses.items():
        host, port = split_address(address)
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:
            yield Finding(
                Verdict.BAD, subject, f"cannot listen on {address}: {error.strerror or error}; choose another"
            )
        else:
            yield Finding(Verdict.GOOD, subject, f"can listen on {address}")


def _room(config: Config) -> Iterator[Finding]:
    for sink in config.sinks:
        if isinstance(sink, FileSinkTable):
            folder = Path(sink.file.path).absolute().parent
            if folder.is_dir() and (free := shutil.disk_usage(folder).free) < _LEAST_FREE_BYTES:
                yield Finding(Verdict.NOTE, "disk", f"{free / 2**20:.0f} MiB free for {folder}; make room")


def _kafka(config: Config) -> Iterator[Finding]:
    for connection, wanted in required_clusters(config):
        yield from diagnose_cluster(connection, wanted)
