#!/usr/bin/env bash
# Run within a network of its own (unshare -n): a second one, a cable between them, a receiver and gpsd at its far end.
# Prints the time of the first position that is heard at this end. Arguments: a Python, the folder of this file.
set -euo pipefail
python=$1 folder=$2
PATH=$PATH:/usr/sbin
unshare -n sleep 100 &
there=$!
trap 'kill $(jobs -p) 2>/dev/null' EXIT
until [ "$(readlink /proc/$there/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
far() { nsenter -t $there -n "$@"; }
ip link add here type veth peer name there netns $there
ip addr add 192.0.2.1/24 dev here
ip link set here up
far ip addr add 192.0.2.2/24 dev there
far ip link set there up
far ip link set lo up

coproc receiver { exec nsenter -t $there -n "$python" -c '
import sys
sys.path.insert(0, sys.argv[1])
from receivers import TcpServer, Ticker
server = TcpServer()
print(server.port, flush=True)
Ticker(server.send).start()
sys.stdin.read()
' "$folder"; }
read -r port <&"${receiver[0]}"
nsenter -t $there -n gpsd -N -n -G -S 2947 "tcp://127.0.0.1:$port" </dev/null >/dev/null 2>&1 &
"$python" -c '
import time
from kalos_connect_sdk import SourceUnavailable
from kalos_connect_sdk.sources import open_source
deadline = time.monotonic() + 30
while True:
    try:
        source = open_source("gpsd://192.0.2.2")
        break
    except SourceUnavailable:  # it is starting
        assert time.monotonic() < deadline
print(next(iter(source)).time.isoformat())
'
