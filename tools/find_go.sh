# shellcheck shell=bash
# To be sourced. Finds Go: the one in PATH or in /usr/local/go, or, where these are too old, the Python package that
# tools/cluster_requirements.txt pins.

find_go() {  # find_go MINOR: prints the path of a Go 1.MINOR or newer
  local candidate minor tools
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go; do
    [ -x "$candidate" ] || continue
    minor=$(GOTOOLCHAIN=local "$candidate" version | sed -n 's/.* go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge "$1" ]; then echo "$candidate"; return 0; fi
  done
  tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  echo "$(dirname "$(python3 "$tools/venv_tool.py" cluster "$tools/cluster_requirements.txt")")/go"
}
