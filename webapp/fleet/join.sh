#!/bin/sh
# join.sh CGROUP... -- COMMAND...: enter the cgroups, then become the command.
# Fails when a cgroup is gone: a teardown that came first has won.
set -eu
while [ "$1" != -- ]; do
  echo 0 > "$1/cgroup.procs"
  shift
done
shift
exec "$@"
