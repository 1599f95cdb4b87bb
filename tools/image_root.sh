#!/usr/bin/env bash
# Makes the root folder of the container image; the Dockerfile calls it in its build stage.
#
# usage: tools/image_root.sh BUILD_FOLDER ROOT      ROOT must not exist
#
# In it: the program, stripped, and its two old names; the shared libraries that it loads, with the loader; CA certificates;
# two users; licences; and an SBOM, /usr/share/sbom/ckpt.spdx.json. The SBOM names the Debian packages of every file that went
# in, and of every header that was compiled in, as the build's own dependency list has them. All else of the Debian that
# compiled it stays behind, the shell too. No libnss_*: since glibc 2.34 the C library itself reads files and asks DNS.
set -euo pipefail
export LC_ALL=C.UTF-8

build=${1:?BUILD_FOLDER}
root=${2:?ROOT}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$build/src/cli/ckpt
[ ! -e "$root" ] || { echo "image_root: $root exists already" >&2; exit 73; }

# packages FILE...: the packages of these files, each once. Debian 12 knows a file of /usr/lib by the name /lib/... where its
# package says so.
packages() {
  local files known
  mapfile -t files < <(realpath "$@" | sort -u)
  known=$(dpkg-query -S "${files[@]}" "${files[@]#/usr}" 2>/dev/null | grep -v '^diversion' || true)
  awk -v known="$known" '
    BEGIN { lines = split(known, line, "\n")
            for (i = 1; i <= lines; i++) { at = index(line[i], ": "); owner[substr(line[i], at + 2)] = substr(line[i], 1, at - 1) } }
    { short = substr($0, 5); package = $0 in owner ? owner[$0] : owner[short]; sub(/[:,].*/, "", package)
      if (package == "") { print "image_root: " $0 " belongs to no Debian package" >"/dev/stderr"; bad = 1 }
      else print package }
    END { exit bad }' < <(printf '%s\n' "${files[@]}") | sort -u
}

# The shared libraries that the program loads, the loader included: absolute paths.
libraries() {
  local listed
  listed=$(ldd "$program")
  if grep -q 'not found' <<<"$listed"; then echo "image_root: $listed" >&2; return 1; fi
  grep -o '/[^ ]*' <<<"$listed" | sort -u
}

# System headers that the compiler read for the program.
headers() { ninja -C "$build" -t deps | sed -n 's|^ *\(/usr/[^ ]*\)$|\1|p' | sort -u; }

put_files() {
  local library
  mkdir -p "$root"/{usr/{bin,lib,lib64},etc/ssl/certs}
  mkdir -m 1777 "$root/tmp"
  ln -s usr/bin usr/lib usr/lib64 "$root/"
  install -m 755 "$program" "$root/usr/bin/ckpt"
  strip "$root/usr/bin/ckpt"
  ln -s ckpt "$root/usr/bin/checkpoint_entrypoint.sh"
  ln -s ckpt "$root/usr/bin/checkpoint_converter.sh"
  for library in "${loaded[@]}"; do install -D -m 755 "$library" "$root$library"; done
  install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf '%s\n' root:x:0:0:root:/:/sbin/nologin ckpt:x:65532:65532:ckpt:/:/sbin/nologin >"$root/etc/passwd"
  printf '%s\n' root:x:0: ckpt:x:65532: >"$root/etc/group"
  printf '%s\n' 'hosts: files dns' >"$root/etc/nsswitch.conf"
  install -D -m 644 "$source/LICENSE" "$root/usr/share/doc/ckpt/copyright"
}

# The licence text of a package: its own, or where that is a link which slim images leave out, that of a package made with it.
licence_of() {
  local source name
  source=$(dpkg-query -W -f '${source:Package}' "$1")
  for name in "$1" $(dpkg-query -W -f '${source:Package} ${Package}\n' | sed -n "s/^$source //p"); do
    if [ -s "/usr/share/doc/$name/copyright" ]; then echo "/usr/share/doc/$name/copyright"; return 0; fi
  done
  echo "image_root: no licence text of $1" >&2
  return 1
}

# spdx_package PACKAGE RELATION PURPOSE: appends its entry and its relation to the two lists. Its licence text goes into the image.
entries=()
relations=()
spdx_package() {
  local name version arch id purl licence
  IFS='|' read -r name version arch < <(dpkg-query -W -f '${Package}|${Version}|${Architecture}\n' "$1")
  id=SPDXRef-deb-$(tr -c 'A-Za-z0-9.\n-' '-' <<<"$name")
  purl="pkg:deb/debian/${name//+/%2B}@${version//+/%2B}?arch=$arch&distro=debian-12"
  licence=$(licence_of "$name")
  install -D -m 644 "$licence" "$root/usr/share/doc/$name/copyright"
  entries+=("$(cat <<JSON
{"SPDXID":"$id","name":"$name","versionInfo":"$version","supplier":"Organization: Debian","primaryPackagePurpose":"$3",
 "downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION",
 "licenseComments":"see /usr/share/doc/$name/copyright","copyrightText":"NOASSERTION",
 "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"$purl"}]}
JSON
  )")
  relations+=("{\"spdxElementId\":\"SPDXRef-ckpt\",\"relationshipType\":\"$2\",\"relatedSpdxElement\":\"$id\"}")
}

lines() {  # lines WORD...: the words, each on a line of its own, with commas between
  local all
  printf -v all '%s,\n' "$@"
  printf '%s' "${all%,?}"
}

write_sbom() {  # write_sbom LINKED_PACKAGES COMPILED_IN_PACKAGES, a package a line
  local version digest package
  version=$("$root/usr/bin/ckpt" --version | sed 's/.* //')
  digest=$(sha256sum "$root/usr/bin/ckpt" | cut -d ' ' -f 1)
  while read -r package; do spdx_package "$package" DYNAMIC_LINK LIBRARY; done <<<"$1"
  while read -r package; do spdx_package "$package" STATIC_LINK SOURCE; done <<<"$2"
  spdx_package ca-certificates CONTAINS FILE
  mkdir -p "$root/usr/share/sbom"
  cat >"$root/usr/share/sbom/ckpt.spdx.json" <<JSON
{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"inference-checkpoint-$version",
"documentNamespace":"https://spdx.org/spdxdocs/inference-checkpoint-$version-$digest",
"creationInfo":{"created":"$(date -u +%Y-%m-%dT%H:%M:%SZ)","creators":["Tool: image_root.sh-$version"]},
"packages":[
{"SPDXID":"SPDXRef-ckpt","name":"ckpt","versionInfo":"$version","primaryPackagePurpose":"APPLICATION",
 "downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"Apache-2.0","licenseDeclared":"Apache-2.0",
 "copyrightText":"NOASSERTION","checksums":[{"algorithm":"SHA256","checksumValue":"$digest"}]},
$(lines "${entries[@]}")],
"relationships":[
{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-ckpt"},
$(lines "${relations[@]}")]}
JSON
}

mapfile -t loaded < <(libraries)
mapfile -t compiled < <(headers)
[ ${#loaded[@]} -gt 0 ] || exit 70
[ ${#compiled[@]} -gt 0 ] || { echo "image_root: $build holds no dependency list" >&2; exit 70; }
put_files
linked=$(packages "${loaded[@]}")
compiled_in=$(packages "${compiled[@]}")
write_sbom "$linked" "$compiled_in"
chmod -R go=rX,u+w "$root"
chmod 1777 "$root/tmp"
find "$root" -exec touch -h -d '1980-01-01T00:00:00Z' {} +
