#!/bin/sh
# packages.sh IMAGE ROOT PROXY PACKAGE...: a copy of the image with these packages, none of whose services starts at boot.
# Runs in a mount namespace of its own, so that its mounts end with it.
set -eu
image=$1 root=$2 proxy=$3
shift 3

cp -a --reflink=auto "$image" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 run "$root/run"

# As role postgres says it: the package makes no cluster.
mkdir -p "$root/etc/postgresql-common/createcluster.d"
echo 'create_main_cluster = false' > "$root/etc/postgresql-common/createcluster.d/image.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"

export DEBIAN_FRONTEND=noninteractive
apt() { chroot "$root" apt-get -q -y -o "Acquire::http::Proxy=$proxy" -o DPkg::Options::=--force-unsafe-io "$@"; }
apt update
apt install --no-install-recommends "$@"
apt clean

chroot "$root" systemctl --quiet disable caddy.service pgbouncer.service
rm -r "$root/usr/sbin/policy-rc.d" "$root/etc/postgresql-common/createcluster.d"
umount "$root/proc" "$root/run"
