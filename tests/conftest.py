"""What holds for all tests."""

import logging
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("affectd", deadline=None)
settings.load_profile("affectd")

# A shell that runs the tests in the background has them ignore Ctrl-C, and nohup that a terminal hangs up, which the
# processes they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Ends what a test configured of the logs: its streams are closed when the next one runs."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
