# Three brokers of Apache Kafka, each topic on all of them and acknowledged by two: what kafka exports, with the prefix
# EVENTFLOW_KAFKA_CLUSTER.
#
# shellcheck shell=bash disable=SC2154 # root is with-servers'

# shellcheck source=/dev/null
source "$root/servers/kafka.sh"

start() { start_kafka EVENTFLOW_KAFKA_CLUSTER 3; }
