# PostgreSQL from the system's packages: any release that is there, installed when there is none. It exports
#
#   EVENTFLOW_POSTGRES          the URL of an empty database, by a role that owns it and may make others
#   EVENTFLOW_POSTGRES_RESTART  a program that crashes the server and starts it again
#
# shellcheck shell=bash disable=SC2154 # name, dir and the functions are with-servers'

postgres_bin() {
	local found
	found=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || true
	[[ -n $found ]] || found=$(command -v initdb) || return 1
	dirname "$(readlink -f "$found")"
}

start() {
	if ! postgres_bin >/dev/null; then
		say "installing postgresql"
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql; } >&2
	fi
	local bin port password
	bin=$(postgres_bin)
	port=$(free_port)
	password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
	((EUID != 0)) || chown postgres "$dir"
	echo "$password" >"$dir/password"
	chmod 644 "$dir/password"
	unprivileged postgres "$bin/initdb" -D "$dir/data" -U eventflow -A scram-sha-256 --pwfile "$dir/password" -E UTF8 --locale C >"$dir/initdb.log" ||
		{ cat "$dir/initdb.log" >&2 && return 1; }
	cat >>"$dir/data/postgresql.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		port = $port
		unix_socket_directories = '$dir'
		max_connections = 200
	CONF
	local as=()
	((EUID != 0)) || as=(setpriv --reuid postgres --regid postgres --init-groups --)
	printf '#!/bin/sh\nexec %s >/dev/null\n' "${as[*]} $bin/pg_ctl -D $dir/data -m immediate -w -l $dir/log restart" >"$dir/restart"
	chmod 755 "$dir/restart"
	unprivileged postgres "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" start >/dev/null || { cat "$dir/log" >&2 && return 1; }
	PGPASSWORD=$password "$bin/createdb" -h 127.0.0.1 -p "$port" -U eventflow eventflow
	rm "$dir/password"
	export EVENTFLOW_POSTGRES="postgres://eventflow:$password@127.0.0.1:$port/eventflow?sslmode=disable"
	export EVENTFLOW_POSTGRES_RESTART="$dir/restart"
	say "$("$bin/postgres" --version) on port $port"
}

stop() {
	unprivileged postgres "$(postgres_bin)/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null
}
