#!/usr/bin/env bash
# The world around a cluster of tools/cluster.sh: pods of an unchanged manifest reach stand-ins on this machine by the services'
# public names, over TLS, and the metadata server; nothing else can be reached.
#
#   world.sh ca DIR HOST...                       a test CA, a server's certificate for these names, and an image layer that trusts it
#   world.sh start DIR METADATA_PORT HOST=PORT...   after `cluster.sh start DIR`: each name's :443 leads to 127.0.0.1:PORT, the metadata
#                                                 server's address to METADATA_PORT (plain HTTP)
#   world.sh status DIR                           names that were asked for and are not in the world; packets that were refused
#   world.sh stop DIR                             before `cluster.sh stop DIR`; may be repeated
#
# `ca` leaves DIR/world/{ca,server,other}.pem, {server,other}.key (other: of a name that is not in the world) and DIR/world/image (FROM $BASE, plus the test CA as the only one).
# The cluster's pods ask 10.88.77.1 for names. dnsmasq answers each with an address of its own in 198.18.77.0/24, which is reserved for
# tests and lies on no interface; iptables sends those, and 169.254.169.254:80, to loopback, and refuses what would leave the bridge.
# Needs root, the packages of `tools/setup.sh cluster`. One at a time on a machine, as the bridge's address is fixed.
set -euo pipefail
export LC_ALL=C.UTF-8

bridge=ckpt0 gateway=10.88.77.1 network=198.18.77 chain=CKPT-WORLD

tables() { iptables -w 10 "$@"; }

make_certificates() {  # make_certificates HOST...
  local names="DNS:localhost,IP:127.0.0.1" host
  for host in "$@"; do names+=",DNS:$host"; done
  mkdir -p "$world/image"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=a test CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$world/ca.key" -out "$world/ca.pem" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=a test server" \
    -keyout "$world/server.key" -out "$world/server.csr" 2>/dev/null
  printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' "$names" >"$world/extensions"
  openssl x509 -req -in "$world/server.csr" -CA "$world/ca.pem" -CAkey "$world/ca.key" -CAcreateserial -days 30 \
    -extfile "$world/extensions" -out "$world/server.pem" 2>/dev/null
  # A certificate of the same CA that names somebody else.
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=other.example" \
    -keyout "$world/other.key" -out "$world/other.csr" 2>/dev/null
  printf 'subjectAltName=DNS:other.example\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$world/extensions"
  openssl x509 -req -in "$world/other.csr" -CA "$world/ca.pem" -CAkey "$world/ca.key" -CAcreateserial -days 30 \
    -extfile "$world/extensions" -out "$world/other.pem" 2>/dev/null
  cp "$world/ca.pem" "$world/image/ca-certificates.crt"
  # shellcheck disable=SC2016  # BASE is the builder's
  printf 'ARG BASE\nFROM $BASE\nCOPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n' >"$world/image/Dockerfile"
}

# New pods' default route; containerd takes note of a rename inside the folder.
set_route() {
  local file=$dir/cni/10-ckpt.conflist route='"routes": [{"dst": "0.0.0.0/0"}], ' old new
  [ -s "$file" ] || return 0
  old=$(cat "$file")
  new=${old//"$route"/}
  if [ "$1" = on ]; then new=${new/'"ranges":'/"$route\"ranges\":"}; fi
  if [ "$new" != "$old" ]; then
    echo "$new" >"$file.new"
    mv "$file.new" "$file"
    sleep 0.5
  fi
}

drop_rules() {
  local table
  while tables -t nat -D PREROUTING -i $bridge -j $chain 2>/dev/null; do :; done
  while tables -D FORWARD -i $bridge ! -o $bridge -j $chain 2>/dev/null; do :; done
  for table in nat filter; do
    tables -t $table -F $chain 2>/dev/null || true
    tables -t $table -X $chain 2>/dev/null || true
  done
}

end_names() {
  local process
  process=$(cat "$world/dnsmasq.pid" 2>/dev/null) || return 0
  if [ "$(cat "/proc/$process/comm" 2>/dev/null)" = dnsmasq ]; then
    kill "$process" 2>/dev/null || true
    for _ in $(seq 50); do
      [ -d "/proc/$process" ] || break
      sleep 0.1
    done
  fi
  rm -f "$world/dnsmasq.pid"
}

answers() { (exec 3<>/dev/tcp/$gateway/53) 2>/dev/null; }

start_names() {
  : >"$world/names.log"
  setsid nohup dnsmasq -k -C "$world/dnsmasq.conf" --pid-file= >"$world/dnsmasq.out" 2>&1 </dev/null &
  echo $! >"$world/dnsmasq.pid"
  for _ in $(seq 50); do
    if answers; then return 0; fi
    sleep 0.1
  done
  cat "$world/dnsmasq.out" >&2
  return 69
}

start() {  # start METADATA_PORT HOST=PORT...
  local metadata=$1 number=0 pair protocol
  shift
  mkdir -p "$world"
  drop_rules
  end_names
  # The bridge that the network plugin would make for the first pod: the name server needs its address.
  ip link show $bridge >/dev/null 2>&1 || ip link add $bridge type bridge
  ip address replace $gateway/24 dev $bridge
  ip link set $bridge up
  echo 1 >/proc/sys/net/ipv4/conf/$bridge/route_localnet  # goes with the bridge
  [ -s "$world/ip_forward" ] || cat /proc/sys/net/ipv4/ip_forward >"$world/ip_forward"
  tables -N $chain
  tables -A $chain -p tcp -j REJECT --reject-with tcp-reset
  tables -A $chain -j REJECT
  tables -I FORWARD -i $bridge ! -o $bridge -j $chain
  tables -t nat -N $chain
  echo 1 >/proc/sys/net/ipv4/ip_forward  # so that the rest is refused at once, not dropped
  printf '%s\n' no-resolv no-hosts bind-interfaces "listen-address=$gateway" local=/#/ log-queries "log-facility=$world/names.log" \
    user=root host-record=metadata.google.internal,metadata,169.254.169.254 >"$world/dnsmasq.conf"
  for pair in "$@"; do
    number=$((number + 1))
    echo "host-record=${pair%%=*},$network.$number" >>"$world/dnsmasq.conf"
    tables -t nat -A $chain -d $network.$number -p tcp --dport 443 -j DNAT --to-destination "127.0.0.1:${pair##*=}"
  done
  tables -t nat -A $chain -d 169.254.169.254 -p tcp --dport 80 -j DNAT --to-destination "127.0.0.1:$metadata"
  for protocol in udp tcp; do  # of a pod with another name server
    tables -t nat -A $chain -p $protocol --dport 53 -j DNAT --to-destination $gateway:53
  done
  tables -t nat -I PREROUTING -i $bridge -j $chain
  start_names
  set_route on
}

status() {
  echo "names not in the world: $(sed -n 's/.* config \(.*\) is NXDOMAIN$/\1/p' "$world/names.log" 2>/dev/null |
    grep -v '\.cluster\.local$' | sort -u | tr '\n' ' ' || true)"
  echo "packets refused: $(tables -nvxL $chain 2>/dev/null | awk '$3 == "REJECT" { count += $1 } END { print count + 0 }')"
}

stop() {
  set_route off
  end_names
  drop_rules
  if [ -d /sys/class/net/$bridge ] && [ -z "$(ls /sys/class/net/$bridge/brif)" ]; then ip link delete $bridge; fi
  if [ -s "$world/ip_forward" ]; then
    cat "$world/ip_forward" >/proc/sys/net/ipv4/ip_forward
    rm -f "$world/ip_forward"
  fi
}

case ${1:-} in
  ca | start | status | stop) ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac
dir=$(mkdir -p "${2:?DIR}" && cd "$2" && pwd)
world=$dir/world
command=$1
shift 2
case $command in
  ca) make_certificates "$@" ;;
  *) "$command" "$@" ;;
esac
