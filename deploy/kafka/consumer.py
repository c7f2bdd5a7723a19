"""Reads affectd's predictions from Kafka: checks each against its schema, and shows each once.

A prediction may be delivered twice (the same id and revision) unless delivery is exactly_once; later revisions replace.
Run where affectd is installed: python deploy/kafka/consumer.py HOST:PORT [TOPIC]. Elsewhere, and in other languages,
check by streams/schemas/prediction-1.json, which is the same schema.
"""

import sys
from collections import deque

from kafka import KafkaConsumer

from streams.predictions import Prediction

server, topic = sys.argv[1], (sys.argv[2:] or ["affectd.predictions"])[0]
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
        prediction = Prediction.model_validate_json(message.value)
        name = prediction.id, prediction.revision
        if name not in seen:
            seen.append(name)
            emotion, risk = prediction.emotion.label, prediction.risk.level
            print(prediction.session, prediction.window.start, emotion, risk, flush=True)
