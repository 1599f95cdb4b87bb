#!/usr/bin/env bash
# A Kubernetes to try Jobs on: one real node on this machine, which pulls the image of this working tree.
#
#   local_cluster.sh up     builds the image, starts a registry and a node (minutes the first time, then seconds)
#   local_cluster.sh env    prints what the shell needs: eval "$(tools/local_cluster.sh env)"; then there is kubectl
#   local_cluster.sh down   ends both; nothing stays but caches
#
# The node takes every image, whatever registry its name says, from that registry: it has inference-checkpoint:latest, which the Jobs of
# deploy/ and of `ckpt manifest` name, and any image that is pushed to 127.0.0.1:5001. Needs root.
set -euo pipefail
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=$root/build/local-cluster
store=$root/build/containers
address=127.0.0.1:5001
tag=localhost/inference-checkpoint:latest

say() { printf 'cluster: %s\n' "$*"; }

up() {
  local program
  "$root/tools/setup.sh" cluster
  say "building the image"
  mkdir -p "$home/bin"
  "$root/tools/image.sh" build "$store" "$tag" >"$home/image.log" 2>&1 || { tail -n 20 "$home/image.log" >&2; return 70; }
  "$root/tools/image.sh" registry "$home/registry" stop
  "$root/tools/image.sh" registry "$home/registry" start "$address"
  "$root/tools/image.sh" push "$store" "$tag" "$address/library/inference-checkpoint:latest"
  program=$("$root/tools/cluster.sh" build)
  "$root/tools/cluster.sh" stop "$home/node"
  rm -rf "$home/node"
  say "starting the node"
  K8S_MIRROR=$address "$root/tools/cluster.sh" start "$home/node" >"$home/node.log" 2>&1 </dev/null || { tail -n 20 "$home/node.log" >&2; return 69; }
  printf '#!/bin/sh\nexec "%s" kubectl "$@"\n' "$program" >"$home/bin/kubectl"
  chmod +x "$home/bin/kubectl"
  say "it runs; next: eval \"\$(./dev cluster env)\""
}

down() {
  "$root/tools/cluster.sh" stop "$home/node"
  "$root/tools/image.sh" registry "$home/registry" stop
  rm -rf "$home"
}

case ${1:-} in
  up | down) "$1" ;;
  env)
    [ -x "$home/bin/kubectl" ] || { echo "no cluster runs: ./dev cluster up" >&2; exit 69; }
    # shellcheck disable=SC2016  # PATH is the caller's
    printf 'export KUBECONFIG=%q PATH=%q:"$PATH"\n' "$home/node/kubeconfig" "$home/bin" ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac
