# Three servers of Amazon SQS's protocol, because each errs elsewhere: moto (PyPI), fauxqs (npm) and ElasticMQ (Maven),
# which are installed into .cache at their first start; and the project's own, cmd/sqstest, in a process of its own. It
# exports
#
#   EVENTFLOW_MOTO, EVENTFLOW_FAUXQS, EVENTFLOW_ELASTICMQ, EVENTFLOW_SQSTEST   the endpoint of each, http://127.0.0.1:PORT
#
# Only those that EVENTFLOW_SQS_SERVERS names ("moto fauxqs elasticmq sqstest" when unset) are started.
#
# shellcheck shell=bash disable=SC2154 # name, dir, root and the functions are with-servers'

moto_version=5.2.1
fauxqs_version=1.9.2
elasticmq_version=1.6.9

# installed DIRECTORY COMMAND... runs a command that fills a directory, once. Whoever comes second waits; what was
# left half done is done again.
installed() {
	local to=$1
	shift
	[[ ! -e $to/.done ]] || return 0
	mkdir -p "$to"
	(
		flock 9
		[[ ! -e $to/.done ]] || exit 0
		say "installing ${to##*/}"
		"$@" >"$dir/install.log" 2>&1 || { cat "$dir/install.log" >&2 && exit 1; }
		touch "$to/.done"
	) 9>"$to/.lock"
}

install_moto() {
	python3 -m venv "$cache/moto-$moto_version" &&
		"$cache/moto-$moto_version/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$moto_version"
}

install_fauxqs() {
	npm install --prefix "$cache/fauxqs-$fauxqs_version" --no-audit --no-fund "fauxqs@$fauxqs_version"
}

install_elasticmq() {
	cat >"$dir/pom.xml" <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>test</groupId>
		  <artifactId>elasticmq</artifactId>
		  <version>1</version>
		  <packaging>pom</packaging>
		  <dependencies>
		    <dependency>
		      <groupId>org.elasticmq</groupId>
		      <artifactId>elasticmq-server_2.13</artifactId>
		      <version>$elasticmq_version</version>
		    </dependency>
		  </dependencies>
		</project>
	POM
	mvn -q -B -f "$dir/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/elasticmq-$elasticmq_version"
}

run_moto() {
	exec "$cache/moto-$moto_version/bin/moto_server" -H 127.0.0.1 -p "$1"
}

run_fauxqs() {
	export FAUXQS_PORT=$1 FAUXQS_HOST=127.0.0.1 FAUXQS_LOGGER=false
	exec "$cache/fauxqs-$fauxqs_version/node_modules/.bin/fauxqs"
}

run_elasticmq() {
	cat >"$dir/elasticmq.conf" <<-CONF
		include classpath("application.conf")
		node-address { protocol = http, host = "127.0.0.1", port = $1, context-path = "" }
		rest-sqs { enabled = true, bind-port = $1, bind-hostname = "127.0.0.1", sqs-limits = strict }
		rest-stats.enabled = false
	CONF
	exec java -Xmx256m -Dconfig.file="$dir/elasticmq.conf" -cp "$cache/elasticmq-$elasticmq_version/*" org.elasticmq.server.Main
}

run_sqstest() {
	(cd "$root" && exec go build -o "$dir/sqstest" ../cmd/sqstest)
	exec "$dir/sqstest" -addr "127.0.0.1:$1"
}

# answers PORT is whether a server takes requests: any answer will do.
answers() { curl --silent --output /dev/null --max-time 2 "http://127.0.0.1:$1/?Action=ListQueues"; }

# answers_or_ended PORT PID is whether there is nothing to wait for any more.
answers_or_ended() { answers "$1" || ! kill -0 "$2"; }

start() {
	local cache server version servers=${EVENTFLOW_SQS_SERVERS:-moto fauxqs elasticmq sqstest}
	local -A ports pids
	cache=$(dirname "$root")/.cache
	for server in $servers; do
		declare -F "run_$server" >/dev/null || { say "no such server: $server" && return 1; }
		version=${server}_version
		[[ -z ${!version:-} ]] || installed "$cache/$server-${!version}" "install_$server" || return 1
		ports[$server]=$(free_port)
		(run_"$server" "${ports[$server]}") >"$dir/$server.log" 2>&1 &
		pids[$server]=$!
		echo "$!" >"$dir/$server.pid"
	done
	for server in $servers; do
		# A JVM takes its time on a busy machine.
		if ! wait_for 180 answers_or_ended "${ports[$server]}" "${pids[$server]}" || ! answers "${ports[$server]}"; then
			tail -n 40 "$dir/$server.log" >&2
			return 1
		fi
		version=${server}_version
		export "EVENTFLOW_${server^^}=http://127.0.0.1:${ports[$server]}"
		say "$server ${!version:-} on port ${ports[$server]}"
	done
}

stop() {
	local file pid
	for file in "$dir"/*.pid; do
		[[ -e $file ]] || continue
		pid=$(<"$file")
		kill "$pid" 2>/dev/null || continue
		wait_for 10 not_there "$pid" || kill -KILL "$pid"
		wait "$pid" 2>/dev/null || true
	done
}

not_there() { ! kill -0 "$1"; }
