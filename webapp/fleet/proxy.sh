#!/bin/sh
# proxy.sh FOLDER: run apt-cacher-ng as its own user over FOLDER's etc, cache and log.
# The binds (in a mount namespace of our own) spare that user the way through folders it may not enter.
set -eu
folder=$1
for part in cache log; do
  mkdir -p "/var/$part/apt-cacher-ng"
  mount --bind "$folder/$part" "/var/$part/apt-cacher-ng"
done
mount --bind "$folder/etc" /etc/apt-cacher-ng
exec setpriv --reuid apt-cacher-ng --regid apt-cacher-ng --clear-groups --no-new-privs \
  /usr/sbin/apt-cacher-ng -c /etc/apt-cacher-ng
