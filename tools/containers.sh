# shellcheck shell=bash
# What image.sh and docker_root.sh share; sourced.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ckpt-test  # of downloads and compiled objects, for all stores and clones

# debian_archive NAME PACKAGES [MMDEBSTRAP OPTION..]: makes $cache/NAME.tar, a root folder of Debian 12, anew once a month. As
# Debian's own slim image it leaves out manuals, documents and translations.
debian_archive() {
  local name=$1 packages=$2 sources=() file
  shift 2
  [ -z "$(find "$cache/$name.tar" -mtime -30 2>/dev/null)" ] || return 0
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    if [ -s "$file" ]; then sources+=("$file"); fi
  done
  mkdir -p "$cache"
  mmdebstrap --quiet --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' "$@" \
    bookworm "$cache/$name.part.tar" "${sources[@]}" >&2
  mv "$cache/$name.part.tar" "$cache/$name.tar"
}

at_most() { if [ "$1" = unlimited ] || [ "$1" -gt "$2" ]; then echo "$2"; else echo "$1"; fi; }

# write_containers_conf FOLDER [VOLUME..]: podman's and buildah's settings, with these volumes in every container. Limits are set,
# since raising them needs a capability that build machines may lack; crun 1.8 refuses hybrid cgroups.
write_containers_conf() {
  local folder=$1 files processes volumes=
  shift
  files=$(at_most "$(ulimit -Hn)" 65536)
  processes=$(at_most "$(ulimit -Hu)" 32768)
  if [ $# -gt 0 ]; then printf -v volumes '"%s", ' "$@"; fi
  cat >"$folder/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:$files", "nproc=$processes:$processes"]
netns = "host"
volumes = [${volumes%, }]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
  echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$folder/policy.json"
}
