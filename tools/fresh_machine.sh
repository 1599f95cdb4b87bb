#!/usr/bin/env bash
# Proves the first screen of the README on a bare Debian 12: makes a root folder with Debian's base, git and certificates, clones
# this repository's HEAD into it and runs ./dev there as root. By hand only; the test suite does not call it.
#
# usage: tools/fresh_machine.sh [--as-is] FOLDER [demo|test|COMMAND OF ./dev...]      default: demo, twice
#
#   --as-is   copies the working tree, uncommitted changes included, in place of a clone
#
# FOLDER is made if missing, and kept; each call starts from a fresh root (the base stays as FOLDER/base.tar).
# Needs root and the Debian package mmdebstrap. This machine's apt sources, pip settings and certificates are used inside.
set -euo pipefail
export LC_ALL=C.UTF-8

# All mounts live in a namespace of their own and end with it: no clean-up can be forgotten, and no rm can reach /dev.
if [ "${FRESH_MACHINE_NAMESPACE:-}" != private ]; then
  FRESH_MACHINE_NAMESPACE=private exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi

as_is=no
if [ "${1:-}" = --as-is ]; then as_is=yes; shift; fi
mkdir -p "${1:?FOLDER}"
folder=$(cd "$1" && pwd)
shift
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
inside=$folder/root

say() { printf 'fresh machine: %s\n' "$*"; }

make_base() {
  local sources=() file
  [ ! -s "$folder/base.tar" ] || return 0
  say "making Debian 12's base"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    if [ -s "$file" ]; then sources+=("$file"); fi
  done
  mmdebstrap --quiet --variant=important --include=ca-certificates,git bookworm "$folder/base.part.tar" "${sources[@]}"
  mv "$folder/base.part.tar" "$folder/base.tar"
}

# How this machine reaches its package sources goes inside as it is; nothing of it is written down here.
passed_on=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
pass_settings_on() {
  local setting name value
  cp -L /etc/resolv.conf "$inside/etc/resolv.conf"
  for setting in /etc/apt/apt.conf.d/* /etc/pip.conf; do
    if [ -f "$setting" ] && [ ! -e "$inside$setting" ]; then cp "$setting" "$inside$setting"; fi
  done
  if [ -d /usr/local/share/ca-certificates ]; then
    cp -r /usr/local/share/ca-certificates/. "$inside/usr/local/share/ca-certificates/"
  fi
  while IFS='=' read -r name value; do
    case $name in
      PIP_CERT | SSL_CERT_FILE | PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_DEFAULT_TIMEOUT | \
        http_proxy | https_proxy | no_proxy)
        passed_on+=("$name=$value")
        if [ -e "$value" ] && [ ! -e "$inside$value" ]; then
          mkdir -p "$inside$(dirname "$value")"
          cp -rL "$value" "$inside$value"
        fi ;;
    esac
  done < <(env)
}

mount_system() {
  local node
  mount -t proc proc "$inside/proc"
  mount -t sysfs sysfs "$inside/sys"
  mount -t tmpfs tmpfs "$inside/dev"
  mkdir "$inside/dev/shm" "$inside/dev/pts"
  mount -t tmpfs tmpfs "$inside/dev/shm"
  mount -t devpts devpts "$inside/dev/pts"
  for node in null zero full random urandom tty; do
    touch "$inside/dev/$node"
    mount --bind "/dev/$node" "$inside/dev/$node"
  done
  ln -s /proc/self/fd "$inside/dev/fd"
  ln -s pts/ptmx "$inside/dev/ptmx"
}

put_repository() {
  if [ $as_is = yes ]; then
    mkdir -p "$inside/srv/ckpt"
    (cd "$repository" && python3 tools/tree.py | tar -c -T - ) | tar -x -C "$inside/srv/ckpt"
  else
    git -c safe.directory='*' clone -q --no-hardlinks "$repository" "$inside/srv/ckpt"
  fi
}

in_root() { chroot "$inside" /usr/bin/env -i "${passed_on[@]}" "$@"; }

run() {
  local began=$SECONDS status=0
  say "./dev $*"
  in_root /bin/bash -c 'cd /srv/ckpt && exec ./dev "$@"' dev "$@" || status=$?
  say "./dev $* ended with status $status after $((SECONDS - began)) s"
  return $status
}

make_base
rm -rf "$inside"
mkdir -p "$inside"
tar -C "$inside" -xf "$folder/base.tar"
pass_settings_on
mount_system
in_root update-ca-certificates >/dev/null 2>&1
put_repository
if [ $# -gt 0 ]; then
  run "$@"
else
  run demo
  run demo
fi
