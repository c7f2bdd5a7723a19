"""What the process is given by whoever starts it: closed streams, limits, signals, and being PID 1."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

_PREPARED = "from daemon.runtime.process import prepare; prepare(); "


def python(code: str, before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
    """Runs prepared code in a new process, by the words of a shell before and after it."""
    command = f'{before} exec "$0" -c "$1" {after}'
    arguments = ["bash", "-c", command, sys.executable, _PREPARED + code]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def test_closed_standard_streams_are_filled_so_that_no_file_is_taken_for_one() -> None:
    code = "import os; fd = os.open('/dev/null', os.O_RDONLY); import sys; print('x', file=sys.stderr); sys.exit(fd)"
    assert python(code, after="<&- >&- 2>&-").returncode == 3


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_runs_with_closed_standard_streams(closed: str) -> None:
    command = f'exec "$0" -m daemon show-config {closed}'
    done = subprocess.run(["bash", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_predictions_are_not_lost_unnoticed_where_standard_output_is_closed(tmp_path: Path) -> None:
    (tmp_path / "room.chat.jsonl").touch()
    command = f'exec "$0" -m daemon replay "{tmp_path / "room.chat.jsonl"}" >&-'
    done = subprocess.run(["bash", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (75, "stdout: is closed; open it, or configure another sink\n")


@pytest.mark.parametrize(("arguments", "status"), [("show-config {}/none.toml", 78), ("no-command", 64)])
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2> >(exit)"])
def test_the_status_says_what_happened_where_nothing_can_be_told(
    arguments: str, status: int, stderr: str, tmp_path: Path
) -> None:
    command = f'exec "$0" -m daemon {arguments.format(tmp_path)} {stderr}'
    assert subprocess.run(["bash", "-c", command, sys.executable], timeout=60, check=False).returncode == status


def test_libraries_are_named_memory_where_there_is_no_tmp() -> None:
    code = "import os, tempfile; print(os.environ.get('TMPDIR'), tempfile.gettempdir())"
    unshare = ["unshare", "--mount", "bash", "-c", 'mount -t tmpfs -o ro tmpfs /tmp && exec "$0" -c "$1"']
    done = subprocess.run(
        [*unshare, sys.executable, _PREPARED + code], capture_output=True, text=True, check=False, cwd="/"
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("needs the right to mount")
    assert done.stdout == "/dev/shm /dev/shm\n"
    assert python(code, "TMPDIR=/var/tmp").stdout == "/var/tmp /var/tmp\n"


def test_what_is_written_is_utf_8_in_every_locale() -> None:
    done = python("import sys; print('你好'); print('你好\\udcff', file=sys.stderr)", "PYTHONIOENCODING=ascii")
    assert (done.stdout, done.stderr) == ("你好\n", "你好\\udcff\n")


@pytest.mark.parametrize(("limit", "told"), [("unlimited", (1, -1)), ("0", (0, 0))])
def test_no_core_is_dumped_and_the_hard_limit_stays(limit: str, told: tuple[int, int]) -> None:
    done = python("import resource; print(resource.getrlimit(resource.RLIMIT_CORE))", f"ulimit -c {limit};")
    assert done.stdout == f"{told}\n"


def test_a_process_that_is_pid_1_can_be_stopped_before_anything_is_imported() -> None:
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("needs unshare and the right to use it")
    code = f"import os, signal; os.kill(1, signal.SIGTERM); print(os.getpid()); os.kill(1, {int(signal.SIGKILL)})"
    done = subprocess.run(
        [*unshare, sys.executable, "-c", _PREPARED + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


_SERVICE = """
import os, signal, sys
from daemon.runtime import signals
heard = []
signals.install(lambda number: heard.append(signal.Signals(number).name), lambda: heard.append("reload"))
for name in sys.argv[1:]:
    os.kill(os.getpid(), getattr(signal, name))
print(*heard)
"""


def heard(*names: str, ignored: Sequence[signal.Signals] = (), terminal: bool = False) -> str:
    def begin() -> None:
        os.setsid()
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    command = [sys.executable, "-c", _SERVICE, *names]
    if terminal:
        command = ["script", "-qec", " ".join(f"'{word}'" for word in command), "/dev/null"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=begin, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_service_without_a_terminal_takes_sighup_for_a_reload_and_goes_on() -> None:
    assert heard("SIGHUP", "SIGTERM", "SIGINT") == "reload SIGTERM SIGINT"


def test_a_terminal_that_hangs_up_stops_it() -> None:
    if shutil.which("script") is None:
        pytest.skip("needs script (Debian: bsdutils)")
    assert heard("SIGHUP", terminal=True) == "SIGHUP"


def test_nohup_and_a_job_in_the_background_keep_what_they_ignore() -> None:
    assert heard("SIGHUP", "SIGINT", "SIGTERM", ignored=(signal.SIGHUP, signal.SIGINT)) == "SIGTERM"
