"""What holds for all tests."""

import signal

from hypothesis import settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("affectd", deadline=None)
settings.load_profile("affectd")

# A shell that runs the tests in the background has them ignore Ctrl-C, and nohup that a terminal hangs up, which the
# processes they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
