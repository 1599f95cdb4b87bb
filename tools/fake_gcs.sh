#!/usr/bin/env bash
# Builds fake-gcs-server, an emulator of Google Cloud Storage by others, and prints the path of the program: the store is tested on it
# too, as what holds on our own stub alone might be a misunderstanding of both. Four minutes on two cores; kept.
#
# Needs Go (find_go.sh). Its version and those of all modules stand in tools/fake_gcs. The program is kept in
# ${XDG_CACHE_HOME:-~/.cache}/ckpt-test.
set -euo pipefail
export LC_ALL=C.UTF-8

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/find_go.sh
source "$tools/find_go.sh"
module=github.com/fsouza/fake-gcs-server
version=$(sed -n "s|.*$module \(v[0-9.]*\).*|\1|p" "$tools/fake_gcs/go.mod")
program=${XDG_CACHE_HOME:-$HOME/.cache}/ckpt-test/fake-gcs-server-$version

if [ ! -x "$program" ]; then
  go=$(find_go 26)
  mkdir -p "$(dirname "$program")"
  exec 9>"$program.lock"
  flock 9  # another run may be building it
  if [ ! -x "$program" ]; then
    echo "fake_gcs: building $version with $("$go" version | cut -d ' ' -f 3); this takes 4 minutes on two cores, and is kept" >&2
    (cd "$tools/fake_gcs" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false "$go" build -mod=readonly -trimpath -ldflags="-s -w" -o "$program.part" $module)
    mv "$program.part" "$program"
  fi
fi
echo "$program"
