#!/bin/sh
# boot.sh IMAGE FOLDER JOIN -- NSPAWN...: boot one host, and boot it again each time it reboots.
# Runs in a mount namespace of its own, so that every mount ends with its last process, however that ends.
set -eu
image=$1 folder=$2 join=$3
shift 3

mount -t overlay host -o "lowerdir=$image,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
# nspawn leaves a folder here when it is killed; on this mount it leaves nothing.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 nspawn /run/systemd/nspawn

status=133  # what nspawn with --keep-unit answers when the host wants to reboot
while [ "$status" -eq 133 ]; do
  status=0
  # shellcheck disable=SC2086  # a list of folders without blanks
  sh "$join" $DBHOST_MACHINE_CGROUPS "$@" || status=$?
done
exit "$status"
