#!/usr/bin/env bash
# Installs the Debian 12 packages that a part of the work needs: setup.sh build|image|demo|test|cluster
# Says first what it will fetch, how much, and whether it needs root. Does nothing where all is there. Removes no package, and starts
# no service: not now (policy-rc.d says no while packages are installed), not at the next boot (those that came with new packages are
# disabled). Python packages are no business of this script: tools/venv_tool.py pins them inside the build folder.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

build=(g++ cmake ninja-build ccache pkg-config libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
  libtomlplusplus-dev libhwy-dev libisal-dev libssl-dev libexpected-dev libzstd-dev zlib1g-dev
  libcurl4-openssl-dev libpugixml-dev libarchive-dev)
demo=("${build[@]}" python3 python3-venv)
test=("${demo[@]}" git libgtest-dev libgmock-dev libbenchmark-dev clang-16 clang-tidy-16 clang-format-16
  libclang-rt-16-dev lld-16 shellcheck openssl strace libfaketime)
image=("${build[@]}" ca-certificates)  # inside the container that compiles the image
slurm=(munge slurmctld slurmd slurm-client)
cluster=(python3 python3-venv git gcc libc6-dev openssl buildah podman runc mmdebstrap catatonit docker-registry etcd-server
  containerd containernetworking-plugins iptables iproute2 dnsmasq-base procps "${slurm[@]}")  # tests of the image, of Kubernetes Jobs, of Slurm arrays

case ${1:-} in
  build) wanted=("${build[@]}") ;;
  image) wanted=("${image[@]}") ;;
  demo) wanted=("${demo[@]}") ;;
  test) wanted=("${test[@]}") ;;
  cluster) wanted=("${cluster[@]}") ;;
  *) echo "usage: tools/setup.sh build|image|demo|test|cluster" >&2; exit 64 ;;
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
planned=$(apt-get install "${options[@]}" -s "${missing[@]}")
mapfile -t with_needs < <(awk '/^Inst / { print $2 }' <<<"$planned")
mapfile -t new < <(awk '/^Inst / && $3 !~ /^\[/ { print $2 }' <<<"$planned")
on_disk=$(apt-cache show --no-all-versions "${with_needs[@]}" | awk '/^Installed-Size:/ { kib += $2 } END { printf "%.0f MB on disk", kib * 1024 / 1e6 }')
if [ ${#as_root[@]} -gt 0 ]; then how="with sudo"; else how="as root, which you are"; fi
say "with all they need: $fetched, $on_disk; installed $how"

# Debian asks this program whether a service may be started; where there is one already, it answers.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap '"${as_root[@]}" rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod 755 $policy
fi
"${as_root[@]}" apt-get install "${options[@]}" -qq "${missing[@]}" >/dev/null
if [ ${#new[@]} -gt 0 ]; then
  mapfile -t units < <(dpkg -L "${new[@]}" |
    sed -nE 's,^(/usr)?/lib/systemd/system/([^/]*\.(service|socket|timer|path))$,\2,p' | sort -u)
  if command -v systemctl >/dev/null; then
    for unit in "${units[@]}"; do "${as_root[@]}" systemctl --no-reload disable "$unit" >/dev/null 2>&1 || true; done
  fi
  mapfile -t scripts < <(dpkg -L "${new[@]}" | sed -n 's,^/etc/init\.d/,,p' | sort -u)
  for script in "${scripts[@]}"; do "${as_root[@]}" update-rc.d "$script" disable >/dev/null 2>&1 || true; done
  [ ${#units[@]} -eq 0 ] || say "not started, and not enabled: ${units[*]}"
fi
say "done"
