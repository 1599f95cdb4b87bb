#!/usr/bin/env bash
# Runs lines with a `docker` command, as a user would type them, on a machine that has none: in a root folder of its own with
# Debian's podman-docker and a copy of this working tree.
#
# usage: tools/docker_root.sh [--compiler-cache] FOLDER HOST ADDRESS [NAME=VALUE..] <LINES
#
# FOLDER must not exist; the caller removes it. HOST is ADDRESS there, where a registry listens on port 80 (plain HTTP).
# `FROM debian:bookworm-slim` is the base of `image.sh base`. The names and values are the environment of the lines, beside PATH
# and HOME. Debian packages come from image.sh's folder of them, and so does its compiler cache with --compiler-cache; without
# it none is in reach. Needs root and the packages of `tools/setup.sh cluster`.
set -euo pipefail
export LC_ALL=C.UTF-8

# All mounts live in a namespace of their own and end with it.
if [ "${DOCKER_ROOT_NAMESPACE:-}" != private ]; then
  DOCKER_ROOT_NAMESPACE=private exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=containers.sh
source "$tools/containers.sh"
compiler_cache=no
if [ "${1:-}" = --compiler-cache ]; then compiler_cache=yes; shift; fi
host=${2:?HOST}
address=${3:?ADDRESS}
if [ -e "$1" ]; then echo "docker_root: $1 exists already" >&2; exit 73; fi
mkdir -p "$1"
inside=$(cd "$1" && pwd)
shift 3

mount_system() {
  local node
  mount --bind "$inside" "$inside"  # a container's root can be changed to only below a mount point
  mount -t proc proc "$inside/proc"
  mount --rbind /sys "$inside/sys"
  mount -t tmpfs tmpfs "$inside/run"
  mount -t tmpfs tmpfs "$inside/dev"
  mkdir "$inside/dev/shm" "$inside/dev/pts"
  mount -t tmpfs tmpfs "$inside/dev/shm"
  mount -t devpts devpts "$inside/dev/pts"
  for node in null zero full random urandom tty fuse; do
    [ -e "/dev/$node" ] || continue
    touch "$inside/dev/$node"
    mount --bind "/dev/$node" "$inside/dev/$node"
  done
  ln -s /proc/self/fd "$inside/dev/fd"
  ln -s pts/ptmx "$inside/dev/ptmx"
  mkdir -p "$cache/apt/partial" "$inside/srv/apt" "$inside/srv/base"
  mount --bind "$cache/apt" "$inside/srv/apt"
  if [ $compiler_cache = yes ]; then
    mkdir -p "$cache/ccache" "$inside/srv/ccache"
    mount --bind "$cache/ccache" "$inside/srv/ccache"
  fi
}

write_settings() {
  local volumes=(/srv/apt:/var/cache/apt/archives)
  if [ $compiler_cache = yes ]; then volumes+=(/srv/ccache:/ccache); fi
  rm -f "$inside/etc/resolv.conf" "$inside/etc/hosts"
  cp -L /etc/resolv.conf /etc/hosts "$inside/etc/"
  echo "$address $host" >>"$inside/etc/hosts"
  mkdir -p "$inside/etc/containers"
  touch "$inside/etc/containers/nodocker"
  write_containers_conf "$inside/etc/containers" "${volumes[@]}"
  cat >"$inside/etc/containers/registries.conf" <<CONF
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "$host"
insecure = true
CONF
  printf '%s\n' '[storage]' 'driver = "overlay"' 'runroot = "/run/containers/storage"' \
    'graphroot = "/var/lib/containers/storage"' >"$inside/etc/containers/storage.conf"
}

# How this machine reaches its package sources goes inside as it is; nothing of it is written down here.
in_root() {
  local passed_on=(HOME=/srv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin BUILDAH_ISOLATION=chroot) name
  for name in http_proxy https_proxy no_proxy; do
    if [ -n "${!name:-}" ]; then passed_on+=("$name=${!name}"); fi
  done
  chroot "$inside" /usr/bin/env -i "${passed_on[@]}" "$@"
}

base=$("$tools/image.sh" base)
debian_archive podman-docker ca-certificates,podman-docker,buildah,runc,catatonit,iproute2
tar -C "$inside" -xf "$cache/podman-docker.tar"
mkdir "$inside/srv/tree"
(cd "$tools/.." && python3 tools/tree.py | tar -c -T -) | tar -x -C "$inside/srv/tree"
mount_system
write_settings
touch "$inside/srv/base/slim.tar"
mount --bind "$base" "$inside/srv/base/slim.tar"
in_root podman import -q -c 'CMD ["/bin/bash"]' /srv/base/slim.tar docker.io/library/debian:bookworm-slim >/dev/null
cat >"$inside/srv/lines"
in_root "$@" bash -c 'cd /srv/tree && exec bash -euo pipefail -x /srv/lines'
