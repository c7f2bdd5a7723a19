"""Reads affectd's predictions from Kafka: checks each against its schema, and shows each once.

A prediction may be delivered twice (the same id and revision) unless delivery is exactly_once; later revisions replace.
Run from a checkout: python deploy/kafka/consumer.py HOST:PORT [TOPIC]
"""

import json
import sys
from collections import deque
from pathlib import Path

import jsonschema
from kafka import KafkaConsumer

server, topic = sys.argv[1], (sys.argv[2:] or ["affectd.predictions"])[0]
schema = json.loads((Path(__file__).parents[2] / "streams" / "schemas" / "prediction-1.json").read_text())
prediction_schema = jsonschema.Draft202012Validator(schema)
consumer = KafkaConsumer(
    topic,
    bootstrap_servers=server,
    group_id="example",
    auto_offset_reset="earliest",
    isolation_level="read_committed",  # so that what an aborted transaction wrote is never seen
)
seen: deque[tuple[str, int]] = deque(maxlen=10_000)
with consumer:  # leaves the group when it is interrupted, so that the others go on at once
    for message in consumer:
        prediction = json.loads(message.value)
        prediction_schema.validate(prediction)
        name = prediction["id"], prediction["revision"]
        if name not in seen:
            seen.append(name)
            emotion, risk = prediction["emotion"]["label"], prediction["risk"]["level"]
            print(prediction["session"], prediction["window"]["start"], emotion, risk, flush=True)
