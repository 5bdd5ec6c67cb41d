#!/bin/sh
# image.sh ROOT: what turns a minimal Debian into the image of a host; run by mmdebstrap with the new root's folder.
set -eu
root=$1

# Each host gets its own when its layer is made.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/apt/apt.conf.d/99mmdebstrap"
: > "$root/etc/machine-id"

cat > "$root/etc/ssh/sshd_config.d/10-dbhost-fleet.conf" <<EOF
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
EOF

# A person's own way in, as on a rented server: what host.yml is run with.
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash dbhost-admin
echo 'dbhost-admin ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/dbhost-admin"
chmod 0440 "$root/etc/sudoers.d/dbhost-admin"
mkdir -m 0700 "$root/home/dbhost-admin/.ssh"
chroot "$root" chown dbhost-admin:dbhost-admin /home/dbhost-admin/.ssh

chroot "$root" systemctl --quiet enable systemd-networkd.service
# They would take dpkg's lock in the middle of a playbook.
chroot "$root" systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer
