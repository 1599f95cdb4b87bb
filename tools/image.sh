#!/usr/bin/env bash
# Builds, runs, pushes and saves the container image where no Docker engine runs and no public registry is in reach.
#
#   image.sh base                               prints an archive of Debian 12's base, made from its packages when there is none
#   image.sh build STORE TAG [--no-cache] [CONTEXT [ARGUMENT..]]     builds CONTEXT/Dockerfile (default: this repository's)
#   image.sh run   STORE TAG [PODMAN ARGUMENT.. --] [ARGUMENT..]     e.g. --memory 512m -v /a:/b -- plan /b
#   image.sh size  STORE TAG                    bytes unpacked
#   image.sh sbom  STORE TAG                    prints the list of what is in it (SPDX 2.3, JSON)
#   image.sh inspect STORE TAG [GO TEMPLATE]    labels, entry point and so on, as JSON
#   image.sh extract STORE TAG FOLDER           copies all its files into FOLDER
#   image.sh pull  STORE NAME                   from a registry on this machine (plain HTTP)
#   image.sh push  STORE TAG NAME               to one
#   image.sh save  STORE TAG FILE.tar           docker-archive, for `cluster.sh load`
#   image.sh registry FOLDER start [[ADDRESS:]PORT]|stop             default: 127.0.0.1:5001; its contents stay in FOLDER
#
# STORE is a folder for images. Downloads and compiled objects are kept in ${XDG_CACHE_HOME:-~/.cache}/ckpt-test for all stores
# and clones. Needs root and the packages of `tools/setup.sh cluster`. Leaves no mount: they end with its own mount namespace.
set -euo pipefail
export LC_ALL=C.UTF-8

if [ "${1:-}" != registry ] && [ "${IMAGE_SH_NAMESPACE:-}" != private ]; then
  IMAGE_SH_NAMESPACE=private exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=containers.sh
source "$repository/tools/containers.sh"
debian=docker.io/library/debian:bookworm-slim

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64; }

open_store() {  # open_store FOLDER: settings of this store alone, whatever the machine's own are
  store=$(mkdir -p "$1" && cd "$1" && pwd)
  write_containers_conf "$store"
  printf '%s\n' '[[registry]]' 'location = "127.0.0.1"' 'insecure = true' >"$store/registries.conf"
  export CONTAINERS_CONF=$store/containers.conf CONTAINERS_REGISTRIES_CONF=$store/registries.conf
  in_store=(--root "$store/storage" --runroot "$store/runroot" --storage-driver overlay)
  policy=(--signature-policy "$store/policy.json")
}

# As Debian's own image of this name, licences and all.
base() {
  debian_archive bookworm-slim ca-certificates --dpkgopt='path-include=/usr/share/doc/*/copyright'
  echo "$cache/bookworm-slim.tar"
}

build() {
  local tag=$1 context=$repository layers=--layers revision source
  shift
  if [ "${1:-}" = --no-cache ]; then layers=--no-cache; shift; fi
  if [ $# -gt 0 ]; then context=$1; shift; fi
  podman "${in_store[@]}" image exists $debian ||
    podman "${in_store[@]}" import -q -c 'CMD ["/bin/bash"]' "$(base)" $debian >/dev/null
  podman "${in_store[@]}" image prune -f --filter until=24h >/dev/null  # layers of old builds
  mkdir -p "$cache/apt/partial" "$cache/ccache"
  revision=$(git -c safe.directory='*' -C "$repository" rev-parse HEAD 2>/dev/null || echo unknown)
  git -c safe.directory='*' -C "$repository" diff --quiet HEAD 2>/dev/null || [ "$revision" = unknown ] || revision+=-changed
  source=$(git -c safe.directory='*' -C "$repository" remote get-url origin 2>/dev/null || echo unknown)
  # As labels, not as the Dockerfile's arguments: buildah 1.28 takes a label from an older layer when only an argument changed.
  case $source in https://*@* | /* | file:*) source=unknown ;; esac  # no credentials, no folder of this machine
  buildah bud "${in_store[@]}" "${policy[@]}" --isolation chroot --pull-never $layers --tag "$tag" \
    --volume "$cache/apt:/var/cache/apt/archives" --volume "$cache/ccache:/ccache" \
    --label "org.opencontainers.image.revision=$revision" --label "org.opencontainers.image.source=$source" "$@" "$context"
}

run() {
  local tag=$1 options=() word
  shift
  for word in "$@"; do
    [ "$word" = -- ] || continue
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    break
  done
  exec podman "${in_store[@]}" run --rm --pull=never "${options[@]}" "$tag" "$@"
}

extract() {  # extract TAG FOLDER
  local container folder
  mkdir -p "$(dirname "$2")"
  folder=$(mktemp -d "$2.XXXXXX")
  container=$(buildah from "${in_store[@]}" "${policy[@]}" --pull-never "$1")
  cp -a "$(buildah mount "${in_store[@]}" "$container")/." "$folder"
  buildah rm "${in_store[@]}" "$container" >/dev/null
  mv -T "$folder" "$2"
}

sbom() {
  local container
  container=$(buildah from "${in_store[@]}" "${policy[@]}" --pull-never "$1")
  cat "$(buildah mount "${in_store[@]}" "$container")/usr/share/sbom/ckpt.spdx.json"
  buildah rm "${in_store[@]}" "$container" >/dev/null
}

registry() {  # registry FOLDER start [[ADDRESS:]PORT]|stop
  local folder port=${3:-5001} address=127.0.0.1
  case $port in *:*) address=${port%:*} port=${port##*:} ;; esac
  folder=$(mkdir -p "$1" && cd "$1" && pwd)
  case $2 in
    start)
      cat >"$folder/registry.yml" <<CONF
version: 0.1
storage: {filesystem: {rootdirectory: $folder/contents}, delete: {enabled: true}}
http: {addr: "$address:$port"}
CONF
      setsid nohup docker-registry serve "$folder/registry.yml" >"$folder/registry.log" 2>&1 </dev/null &
      echo $! >"$folder/registry.pid"
      for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null && kill -0 "$(cat "$folder/registry.pid")"; then return 0; fi
        sleep 0.1
      done
      cat "$folder/registry.log" >&2
      echo "image: no registry answers on $address:$port" >&2
      return 69 ;;
    stop)
      if [ -s "$folder/registry.pid" ]; then
        kill "$(cat "$folder/registry.pid")" 2>/dev/null || true
        rm -f "$folder/registry.pid"
      fi ;;
    *) usage ;;
  esac
}

command=${1:-}
case $command in
  base) base; exit ;;
  registry) [ $# -ge 3 ] || usage; shift; registry "$@"; exit ;;
  build | run | size | sbom | inspect | extract | pull | push | save) [ $# -ge 3 ] || usage ;;
  *) usage ;;
esac
open_store "$2"
shift 2
case $command in
  build) build "$@" ;;
  run) run "$@" ;;
  size) podman "${in_store[@]}" image inspect --format '{{.Size}}' "$1" ;;
  sbom) sbom "$1" ;;
  inspect) podman "${in_store[@]}" image inspect ${2:+--format "$2"} "$1" ;;
  extract) extract "$1" "${2:?FOLDER}" ;;
  pull) podman "${in_store[@]}" pull -q --tls-verify=false "${policy[@]}" "$1" ;;
  push) buildah push "${in_store[@]}" -q "${policy[@]}" --tls-verify=false "$1" "docker://${2:?NAME}" ;;
  save) buildah push "${in_store[@]}" -q "${policy[@]}" "$1" "docker-archive:${2:?FILE}:$1" ;;
esac
