#!/usr/bin/env bash
# Installs the Debian 12 packages that a part of the work needs: setup.sh build|demo|test
# Says first what it will fetch, how much, and whether it needs root. Does nothing where all is there. Starts no service and
# removes no package. Python packages are no business of this script: tools/venv_tool.py pins them inside the build folder.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

build=(g++ cmake ninja-build ccache pkg-config libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
  libtomlplusplus-dev libhwy-dev libisal-dev libssl-dev libexpected-dev libzstd-dev zlib1g-dev)
demo=("${build[@]}" python3 python3-venv)
test=("${demo[@]}" git libgtest-dev libgmock-dev libbenchmark-dev clang-16 clang-tidy-16 clang-format-16
  libclang-rt-16-dev lld-16 shellcheck)

case ${1:-} in
  build) wanted=("${build[@]}") ;;
  demo) wanted=("${demo[@]}") ;;
  test) wanted=("${test[@]}") ;;
  *) echo "usage: tools/setup.sh build|demo|test" >&2; exit 64 ;;
esac

say() { printf 'setup: %s\n' "$*"; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  say "this is no Debian system. Needed, as Debian 12 names them: ${wanted[*]}" >&2
  exit 69
fi

missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    say "root is needed to install ${missing[*]}; run as root: apt-get install ${missing[*]}" >&2
    exit 77
  fi
  as_root=(sudo DEBIAN_FRONTEND=noninteractive)
fi

say "missing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
options=(-y --no-install-recommends --no-remove -o Acquire::Retries=3)
fetched=$(apt-get install "${options[@]}" -qq --print-uris "${missing[@]}" | awk '{ n++; bytes += $3 } END { printf "%d packages, %.0f MB to fetch", n, bytes / 1e6 }')
mapfile -t with_needs < <(apt-get install "${options[@]}" -s "${missing[@]}" | awk '/^Inst / { print $2 }')
on_disk=$(apt-cache show --no-all-versions "${with_needs[@]}" | awk '/^Installed-Size:/ { kib += $2 } END { printf "%.0f MB on disk", kib * 1024 / 1e6 }')
if [ ${#as_root[@]} -gt 0 ]; then how="with sudo"; else how="as root, which you are"; fi
say "with all they need: $fetched, $on_disk; installed $how"
"${as_root[@]}" apt-get install "${options[@]}" -qq "${missing[@]}" >/dev/null
say "done"
