"""The documents' Kafka commands work as printed, on a real broker."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import NOT_RUN, ROOT, RUN_WITH_A_BROKER, checkout, commands, fresh_environment, run_script
from tests.e2e.devices import free_port
from tests.kafka.broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.e2e, pytest.mark.timeout(900)]

PRINTED_BROKER = "localhost:9092"
SHOWN = 5
PATIENCE_S = 600


@pytest.mark.skipif(shutil.which("curl") is None, reason="readiness is asked for with curl")
def test_what_the_documents_do_with_kafka_works_from_a_fresh_shell(
    own_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    broker, port = own_broker(), free_port()
    folder = checkout(tmp_path)
    (folder / "deploy").unlink()
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    config = folder / "deploy" / "config" / "kafka-local.toml"
    config.write_text(config.read_text(encoding="utf-8").replace(PRINTED_BROKER, broker.bootstrap), encoding="utf-8")
    script = []
    printed = [each for place in RUN_WITH_A_BROKER for each in commands(*place) if each not in NOT_RUN]
    for command in (each.replace(PRINTED_BROKER, broker.bootstrap) for each in printed):
        if command.startswith("affectd run"):
            script += [f"{command} & daemon=$!; trap 'kill $daemon; wait $daemon' EXIT"]
            ready = f"curl -s -o ready --retry 180 --retry-delay 1 --retry-all-errors -f http://127.0.0.1:{port}/readyz"
            script += [ready]
        elif "consumer.py" in command:
            script += [f"{command} 2> consumer.log | head -n {SHOWN}"]
        else:
            script += [command]
    environment = fresh_environment(tmp_path) | {"AFFECTD__HTTP__BIND": f"127.0.0.1:{port}"}
    output = run_script(script, folder, environment, PATIENCE_S)
    shown = output.splitlines()[-SHOWN:]
    assert {line.split()[0] for line in shown} == {"sample"}, output
