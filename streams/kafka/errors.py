"""What an error of kafka-python while polling means: that the source cannot go on, or that one batch cannot be read.

Everything else passes: the client connects again by itself, and rejoins its group. What cannot go on is what only a
person can mend; the message says how.
"""

import re
import traceback
from typing import Any

import kafka.errors as errors
from kafka import TopicPartition

_UNPACKING = "_unpack_records"  # where kafka-python takes a batch apart, and checks and decompresses it
_NAMED = re.compile(r"TopicPartition\(topic='([^']+)', partition=(\d+)\)")

_ADVICE: dict[type[errors.KafkaError], str] = {
    errors.TopicAuthorizationFailedError: "allow this user to read and describe the input topics",
    errors.GroupAuthorizationFailedError: "allow this user to read the consumer group",
    errors.ClusterAuthorizationFailedError: "allow this user to use the cluster",
    errors.SaslAuthenticationFailedError: "check the username and the password or token file",
    errors.FencedInstanceIdError: "another instance runs under this instance_id; give each its own",
    errors.InvalidGroupIdError: "choose another group_id",
    errors.InconsistentGroupProtocolError: "another program is in this consumer group; choose another group_id",
    errors.InvalidSessionTimeoutError: "the broker allows session_timeout_s only between its "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    errors.GroupMaxSizeReachedError: "the group has as many members as the broker allows (group.max.size)",
    errors.UnsupportedCodecError: "install the Python package that decompresses it",
    errors.UnsupportedVersionError: "Kafka 2.5 or newer is needed",
}


def advice(error: Exception) -> str | None:
    """What a person has to do before the source can go on; None where it can go on without."""
    return next((advice for kind, advice in _ADVICE.items() if isinstance(error, kind)), None)


def unreadable_partition(consumer: Any, error: Exception) -> TopicPartition | None:
    """The partition whose next batch is corrupt, or packed in a way that cannot be unpacked; None for other errors."""
    if any(frame.f_code.co_name == _UNPACKING for frame, _ in traceback.walk_tb(error.__traceback__)):
        # Errors of decompression name no partition. It is the one that records are being taken from.
        records = consumer._fetcher._next_partition_records
        return None if records is None else records.topic_partition
    named = _NAMED.search(str(error)) if type(error) is errors.KafkaError else None  # a batch that has no end
    return TopicPartition(named[1], int(named[2])) if named else None
