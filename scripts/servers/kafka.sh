# Apache Kafka, as kafka-pom.xml names it, with KRaft and one broker; kafka-cluster is the same with three. It wants Java
# 17 and Maven, which are installed when they are missing; the class path is kept under .cache. It exports, with the
# prefix EVENTFLOW_KAFKA (EVENTFLOW_KAFKA_CLUSTER),
#
#   (the prefix alone)   the brokers, host:port,host:port: PLAINTEXT; who comes this way may do everything
#   _SASL                those of the listener with SASL_PLAINTEXT
#   _TLS, _CA            those of the listener with SASL_SSL, and the file of the certificate that signed theirs
#   _USER, _PASSWORD     who may do everything, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
#   _GUEST               a user with the same password and no right at all
#   _NODE                a program: "$EVENTFLOW_KAFKA_NODE 1 kill", "stop" or "start" does that to broker 1, 2, …
#
# Groups may have short sessions here, so that a test need not wait long for a member that was killed.
#
# shellcheck shell=bash disable=SC2154 # name, dir, root and the functions are with-servers'

start() { start_kafka EVENTFLOW_KAFKA 1; }

# start_kafka PREFIX BROKERS
start_kafka() {
	local prefix=$1 brokers=$2 libs password node ports=() voters=() plain=() sasl=() tls=()
	kafka_tools || return 1
	libs=$(kafka_libs) || return 1
	password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
	kafka_certificates || return 1
	for ((node = 1; node <= brokers; node++)); do
		# shellcheck disable=SC2207 # numbers
		ports=($(free_ports 4)) || return 1
		voters+=("$node@127.0.0.1:${ports[0]}")
		plain+=("127.0.0.1:${ports[1]}")
		sasl+=("127.0.0.1:${ports[2]}")
		tls+=("127.0.0.1:${ports[3]}")
		mkdir "$dir/$node"
		echo "${ports[*]}" >"$dir/$node/ports"
	done
	kafka_programs "$libs"
	for ((node = 1; node <= brokers; node++)); do
		kafka_properties "$node" "$brokers" "$password" "$(join_by , "${voters[@]}")" >"$dir/$node/server.properties"
		"$dir/java" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/$node/server.properties" \
			--add-scram "SCRAM-SHA-256=[name=app,password=$password]" --add-scram "SCRAM-SHA-512=[name=app,password=$password]" \
			--add-scram "SCRAM-SHA-256=[name=guest,password=$password]" --add-scram "SCRAM-SHA-512=[name=guest,password=$password]" \
			>"$dir/$node/log" 2>&1 || { cat "$dir/$node/log" >&2 && return 1; }
		"$dir/node" "$node" launch
	done
	for ((node = 1; node <= brokers; node++)); do
		"$dir/node" "$node" wait || { cat "$dir/$node/log" >&2 && return 1; }
	done
	export "$prefix=$(join_by , "${plain[@]}")"
	export "${prefix}_SASL=$(join_by , "${sasl[@]}")"
	export "${prefix}_TLS=$(join_by , "${tls[@]}")"
	export "${prefix}_CA=$dir/ca.pem" "${prefix}_USER=app" "${prefix}_PASSWORD=$password" "${prefix}_GUEST=guest" "${prefix}_NODE=$dir/node"
	say "$(cd "$libs" && printf '%s ' kafka_2.13-*.jar)at $(join_by , "${plain[@]}")"
}

stop() {
	local node status=0
	for node in "$dir"/[0-9]*; do
		"$dir/node" "${node##*/}" stop || status=1
	done
	return "$status"
}

join_by() {
	local IFS=$1
	shift
	echo "$*"
}

# free_ports N gives N ports, all different.
free_ports() {
	local -A seen=()
	local port
	while ((${#seen[@]} < $1)); do
		port=$(free_port) || return 1
		[[ -e $dir/port-$port ]] || seen[$port]=1
	done
	for port in "${!seen[@]}"; do
		: >"$dir/port-$port"
		echo "$port"
	done
}

# kafka_tools sees to Java, Maven and openssl.
kafka_tools() {
	local missing=()
	command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
	command -v openssl >/dev/null || missing+=(openssl)
	command -v mvn >/dev/null || [[ -e $(kafka_cache)/done ]] || missing+=(maven)
	((${#missing[@]})) || return 0
	say "installing ${missing[*]}"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >&2
}

# kafka_cache is where the class path of this kafka-pom.xml is.
kafka_cache() {
	local sum
	sum=$(cksum <"$root/servers/kafka-pom.xml")
	echo "${root%/*}/.cache/kafka-${sum%% *}"
}

kafka_libs() {
	local cache part
	cache=$(kafka_cache)
	if [[ ! -e $cache/done ]]; then
		say "fetching Kafka"
		mkdir -p "${cache%/*}"
		part=$(mktemp -d "$cache.XXXXXX")
		mvn -q -B -f "$root/servers/kafka-pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$part" >&2 ||
			{ rm -rf "$part" && return 1; }
		touch "$part/done"
		mv -T "$part" "$cache" 2>/dev/null || rm -rf "$part" # another was faster
	fi
	echo "$cache"
}

# kafka_certificates makes a CA that lives as long as the server, and the brokers' certificate with its key.
kafka_certificates() {
	(
		cd "$dir"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=eventflow-test-ca -keyout ca.key -out ca.pem
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 -keyout broker.key -out broker.csr
		openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out broker.crt \
			-extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost')
		cat broker.key broker.crt ca.pem >broker.pem
	) >"$dir/openssl.log" 2>&1 || { cat "$dir/openssl.log" >&2 && return 1; }
}

# kafka_programs LIBS writes $dir/java and $dir/node, which outlive this shell's functions.
kafka_programs() {
	cat >"$dir/log4j2.properties" <<-P
		rootLogger.level=warn
		rootLogger.appenderRef.c.ref=c
		logger.started.name=kafka.server.KafkaRaftServer
		logger.started.level=info
		appender.c.type=Console
		appender.c.name=c
		appender.c.layout.type=PatternLayout
		appender.c.layout.pattern=%d %p %c %m%n
	P
	cat >"$dir/java" <<-P
		#!/bin/sh
		exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile='$dir/log4j2.properties' -cp '$1/*' "\$@"
	P
	cat >"$dir/node" <<-'P'
		#!/usr/bin/env bash
		# node N launch|wait|start|stop|kill: a broker of the test server.
		set -euo pipefail
		here=$(cd "$(dirname "$0")" && pwd)
		node=$here/$1
		alive() { [[ -e $node/pid ]] && kill -0 "$(<"$node/pid")" 2>/dev/null; }
		gone() {
			for ((i = 0; i < 300; i++)); do
				alive || return 0
				sleep 0.1
			done
			return 1
		}
		case $2 in
		launch)
			: >"$node/log"
			setsid "$here/java" kafka.Kafka "$node/server.properties" </dev/null >>"$node/log" 2>&1 &
			echo $! >"$node/pid"
			;;
		wait)
			for ((i = 0; i < 900; i++)); do
				grep -q 'Kafka Server started' "$node/log" && exit 0
				alive || exit 1
				sleep 0.1
			done
			exit 1
			;;
		start)
			"$0" "$1" launch
			"$0" "$1" wait
			;;
		stop)
			! alive || kill "$(<"$node/pid")" || true
			gone || { kill -9 "$(<"$node/pid")" && gone; }
			;;
		kill)
			! alive || kill -9 "$(<"$node/pid")"
			gone
			;;
		esac
	P
	chmod 755 "$dir/java" "$dir/node"
}

# kafka_properties NODE BROKERS PASSWORD VOTERS
kafka_properties() {
	# A broker alone is not fenced by itself when a busy machine lets it wait for the processor.
	local session=$(($2 > 2 ? 9000 : 120000))
	local ports copies=$(($2 > 2 ? 3 : 1)) least=$(($2 > 2 ? 2 : 1)) jaas=org.apache.kafka.common.security l
	read -ra ports <"$dir/$1/ports"
	cat <<-P
		process.roles=broker,controller
		node.id=$1
		controller.quorum.voters=$4
		controller.listener.names=CONTROLLER
		listeners=CONTROLLER://127.0.0.1:${ports[0]},PLAINTEXT://127.0.0.1:${ports[1]},SASL_PLAINTEXT://127.0.0.1:${ports[2]},SASL_SSL://127.0.0.1:${ports[3]}
		advertised.listeners=PLAINTEXT://127.0.0.1:${ports[1]},SASL_PLAINTEXT://127.0.0.1:${ports[2]},SASL_SSL://127.0.0.1:${ports[3]}
		listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
		inter.broker.listener.name=PLAINTEXT
		ssl.keystore.type=PEM
		ssl.keystore.location=$dir/broker.pem
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:ANONYMOUS;User:app
		log.dirs=$dir/$1/data
		num.partitions=1
		default.replication.factor=$copies
		min.insync.replicas=$least
		auto.create.topics.enable=false
		broker.session.timeout.ms=$session
		offsets.topic.num.partitions=3
		offsets.topic.replication.factor=$copies
		transaction.state.log.num.partitions=3
		transaction.state.log.replication.factor=$copies
		transaction.state.log.min.isr=$least
		share.coordinator.state.topic.num.partitions=3
		share.coordinator.state.topic.replication.factor=$copies
		share.coordinator.state.topic.min.isr=$least
		group.initial.rebalance.delay.ms=0
		group.min.session.timeout.ms=1000
		group.consumer.min.session.timeout.ms=1000
		group.consumer.session.timeout.ms=6000
		group.consumer.min.heartbeat.interval.ms=100
		group.consumer.heartbeat.interval.ms=500
		group.share.min.session.timeout.ms=1000
		group.share.session.timeout.ms=6000
		group.share.min.heartbeat.interval.ms=100
		group.share.heartbeat.interval.ms=500
		group.share.min.record.lock.duration.ms=1000
	P
	for l in sasl_plaintext sasl_ssl; do
		echo "listener.name.$l.plain.sasl.jaas.config=$jaas.plain.PlainLoginModule required user_app=\"$3\" user_guest=\"$3\";"
		echo "listener.name.$l.scram-sha-256.sasl.jaas.config=$jaas.scram.ScramLoginModule required;"
		echo "listener.name.$l.scram-sha-512.sasl.jaas.config=$jaas.scram.ScramLoginModule required;"
	done
}
