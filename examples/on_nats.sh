#!/bin/sh
# Runs a topology on NATS, with a server for the time: on_nats.sh FOLDER-OF-COMMANDS PORT TOPOLOGY
set -eu
bin=$1 port=$2 topology=$3

"$bin/civitas-nats" server --port "$port" &
server=$!
trap 'kill "$server"; wait "$server" || true' EXIT
trap 'exit 130' INT TERM HUP # dash does nothing at its end by a signal

WORD_COUNT_FOLDER="${WORD_COUNT_FOLDER:-docs}" "$bin/civitas" up "$topology" --transport nats \
    --set "transport.servers=nats://127.0.0.1:$port"
