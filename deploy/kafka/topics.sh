#!/usr/bin/env bash
# Creates affectd's six topics with the tools of an Apache Kafka; topics that exist are left as they are.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: topics.sh --bootstrap-server HOST:PORT [--partitions N] [--replication-factor N] [--command-config FILE] [--prefix NAME]

  --bootstrap-server    where to ask for the cluster
  --partitions          of every topic (3): the most instances that can share the sessions. Sessions change places when
                        it is changed later, so take enough, such as twice the instances ever wanted
  --replication-factor  of every topic; without it the cluster's default
  --command-config      client settings of Kafka's own tools, such as security.protocol=SASL_SSL
  --prefix              of the topics' names (affectd)

The tools are taken from $KAFKA_HOME/bin, or else from the path.
TEXT
}

fail() { echo "topics.sh: $1" >&2; exit "${2:-64}"; }

server= partitions=3 replication= prefix=affectd config=()
while (($#)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --bootstrap-server | --partitions | --replication-factor | --command-config | --prefix)
      (($# > 1)) || fail "$1 needs a value; see --help" ;;&
    --bootstrap-server) server=$2 ;;
    --partitions) partitions=$2 ;;
    --replication-factor) replication=$2 ;;
    --command-config) config=(--command-config "$2") ;;
    --prefix) prefix=$2 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
  shift 2
done
[[ -n $server ]] || fail "--bootstrap-server is missing; see --help"
[[ $partitions =~ ^[1-9][0-9]*$ ]] || fail "--partitions must be a whole number above 0"
[[ $replication =~ ^([1-9][0-9]*)?$ ]] || fail "--replication-factor must be a whole number above 0"

tool=${KAFKA_HOME:+$KAFKA_HOME/bin/kafka-topics.sh}
tool=${tool:-$(command -v kafka-topics.sh || command -v kafka-topics || true)}
[[ -x $tool ]] || fail "kafka-topics.sh is not on the path; set KAFKA_HOME to an unpacked Apache Kafka" 75
topics() { "$tool" --bootstrap-server "$server" "${config[@]}" "$@"; }

hour=3600000 day=86400000
# Records of up to 16 MiB are read; what is set aside has its coordinates and reason beside it. Lines of chat are short.
record=$((16 * 1024 * 1024))
existing=$(topics --list)
# create NAME RETENTION_MS MAX_MESSAGE_BYTES
create() {
  if grep -qxF "$prefix.$1" <<<"$existing"; then return; fi
  topics --create --if-not-exists --topic "$prefix.$1" --partitions "$partitions" \
    ${replication:+--replication-factor "$replication"} --config cleanup.policy=delete \
    --config "retention.ms=$2" --config "max.message.bytes=$3" | sed '/^WARNING: Due to limitations in metric names/d'
}
# What people show and say is kept as long as an outage may last; what was made of it, as long as it is asked for.
create video $((24 * hour)) "$record"
create audio $((24 * hour)) "$record"
create text $((24 * hour)) $((1024 * 1024))
create predictions $((7 * day)) $((1024 * 1024))
create alerts $((30 * day)) $((1024 * 1024))
create dead-letters $((14 * day)) $((record + 16384))

described=$(topics --describe --topic "${prefix//./\\.}\\.(video|audio|text|predictions|alerts|dead-letters)" | grep PartitionCount)
echo "$described"
for name in video audio text; do
  grep -qE "Topic: ${prefix//./\\.}\.$name[[:space:]].*PartitionCount: $partitions([[:space:]]|$)" <<<"$described" || {
    echo "topics.sh: $prefix.$name has another number of partitions than $partitions; affectd needs video, audio and text to have equally many" >&2
    exit 65
  }
done
