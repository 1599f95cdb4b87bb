#!/usr/bin/env bash
# A real one-node Kubernetes on this machine, for tests of Jobs with the real image.
#
#   cluster.sh build             builds the one program that holds the Kubernetes commands, and prints its path (minutes; kept)
#   cluster.sh start DIR         etcd, kube-apiserver, controller-manager, scheduler, containerd, kubelet
#   cluster.sh load  DIR TAR..   loads image archives (`image.sh save`) into the node
#   cluster.sh kubelet DIR stop|start   ends the kubelet alone, as an upgrade of the node does: pods go on without it; starts it again
#   cluster.sh stop  DIR         ends exactly what it started and unmounts it; DIR may then be deleted
#
# `start` prints two lines to eval: export KUBECONFIG=..., export KUBECTL=... All servers listen on 127.0.0.1 only.
#   K8S_MIRROR=127.0.0.1:5001    the node pulls every image, whatever registry its name says, from this local one; without it a
#                                Job must say imagePullPolicy: IfNotPresent (an image tagged `latest` is pulled otherwise)
#   K8S_NODE_LABELS=a=b,c=d      labels of the node
#   K8S_PORT=16443               the API server's port; the six after it are used too
# Needs root, the packages of `tools/setup.sh cluster`, and for the build Go (find_go.sh). The program is kept in
# ${XDG_CACHE_HOME:-~/.cache}/ckpt-test.
set -euo pipefail
export LC_ALL=C.UTF-8

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/find_go.sh
source "$tools/find_go.sh"
version=v1.35.4
program=${XDG_CACHE_HOME:-$HOME/.cache}/ckpt-test/kubernetes-$version
port=${K8S_PORT:-16443}

say() { printf 'cluster: %s\n' "$*" >&2; }

build() {
  local go stamp='k8s.io/component-base/version.gitVersion k8s.io/client-go/pkg/version.gitVersion' name flags='-s -w'
  [ ! -x "$program" ] || return 0
  go=$(find_go 25)
  for name in $stamp; do flags+=" -X $name=$version"; done
  mkdir -p "$(dirname "$program")"
  say "building Kubernetes $version with $("$go" version | cut -d ' ' -f 3); this takes 6 minutes on two cores, and is kept"
  (cd "$tools/k8s" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false "$go" build -mod=readonly -trimpath -ldflags="$flags" -o "$program.part" .)
  mv "$program.part" "$program"
}

in_background() {  # in_background NAME COMMAND...: in a session of its own; remembers its process id
  local name=$1
  shift
  setsid nohup "$@" >"$dir/log/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
}

wait_for() {  # wait_for SECONDS WHAT COMMAND...
  local left=$(($1 * 5)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $((left -= 1)) -le 0 ]; then
      tail -n 5 "$dir"/log/*.log >&2 || true
      say "$what did not come up; the logs are in $dir/log"
      return 69
    fi
    sleep 0.2
  done
}

end_process() {  # end_process NAME
  local process
  [ -s "$dir/$1.pid" ] || return 0
  process=$(cat "$dir/$1.pid")
  kill "$process" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$process" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$process" 2>/dev/null || true
  rm -f "$dir/$1.pid"
}

write_access() {
  local token
  openssl genrsa -out "$dir/pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$dir/pki/sa.key" -pubout -out "$dir/pki/sa.pub" 2>/dev/null
  token=$(openssl rand -hex 16)
  echo "$token,admin,admin,\"system:masters\"" >"$dir/pki/tokens.csv"
  cat >"$dir/kubeconfig" <<CONF
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: "$token"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
CONF
}

controllers=(job-controller ttl-after-finished-controller pod-garbage-collector-controller garbage-collector-controller
  namespace-controller node-lifecycle-controller taint-eviction-controller cronjob-controller)

start_control_plane() {
  in_background etcd etcd --data-dir "$dir/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$((port + 1))" --advertise-client-urls "http://127.0.0.1:$((port + 1))" \
    --listen-peer-urls "http://127.0.0.1:$((port + 2))"
  in_background kube-apiserver "$program" kube-apiserver --etcd-servers="http://127.0.0.1:$((port + 1))" \
    --bind-address=127.0.0.1 --secure-port="$port" --cert-dir="$dir/pki" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/pki/sa.pub" \
    --service-account-signing-key-file="$dir/pki/sa.key" --service-cluster-ip-range=10.0.0.0/24 \
    --authorization-mode=Node,RBAC --token-auth-file="$dir/pki/tokens.csv" --disable-admission-plugins=ServiceAccount \
    --allow-privileged=true --endpoint-reconciler-type=none --kubelet-preferred-address-types=Hostname \
    --enable-priority-and-fairness=false
  wait_for 120 "the API server" "$program" kubectl get --raw /readyz
  in_background kube-controller-manager "$program" kube-controller-manager --kubeconfig="$KUBECONFIG" --leader-elect=false \
    --bind-address=127.0.0.1 --secure-port=$((port + 3)) --cert-dir="$dir/pki" \
    --controllers="$(IFS=,; echo "${controllers[*]}")"
  in_background kube-scheduler "$program" kube-scheduler --kubeconfig="$KUBECONFIG" --leader-elect=false \
    --bind-address=127.0.0.1 --secure-port=$((port + 4)) --cert-dir="$dir/pki"
}

start_containerd() {
  cat >"$dir/containerd.toml" <<CONF
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$dir/certs.d"
CONF
  if [ -n "${K8S_MIRROR:-}" ]; then
    mkdir -p "$dir/certs.d/_default"
    cat >"$dir/certs.d/_default/hosts.toml" <<CONF
server = "http://$K8S_MIRROR"
[host."http://$K8S_MIRROR"]
  capabilities = ["pull", "resolve"]
  skip_verify = true
CONF
  fi
  cat >"$dir/cni/10-ckpt.conflist" <<CONF
{"cniVersion": "0.4.0", "name": "ckpt", "plugins": [{"type": "bridge", "bridge": "ckpt0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$dir/ipam", "ranges": [[{"subnet": "10.88.77.0/24"}]]}}]}
CONF
  in_background containerd containerd -c "$dir/containerd.toml"
  wait_for 60 containerd ctr -a "$socket" version
}

# The image that holds a pod's namespaces ("pause"): a static program in a docker-archive of one layer.
load_pause() {
  local folder=$dir/pause digest
  mkdir -p "$folder/layer"
  cat >"$folder/pause.c" <<'CODE'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
CODE
  gcc -Os -static -s "$folder/pause.c" -o "$folder/layer/pause"
  tar -C "$folder/layer" -cf "$folder/layer.tar" pause
  digest=$(sha256sum "$folder/layer.tar" | cut -d ' ' -f 1)
  cat >"$folder/config.json" <<CONF
{"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/pause"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$digest"]}}
CONF
  cat >"$folder/manifest.json" <<CONF
[{"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}]
CONF
  tar -C "$folder" -cf "$folder/pause.tar" manifest.json config.json layer.tar
  ctr -a "$socket" -n k8s.io images import "$folder/pause.tar" >/dev/null
}

start_kubelet() {
  cat >"$dir/kubelet.yaml" <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $((port + 5))
readOnlyPort: 0
healthzPort: $((port + 6))
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
containerRuntimeEndpoint: unix://$socket
makeIPTablesUtilChains: false
oomScoreAdj: 0
evictionHard: {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: true
syncFrequency: 5s
volumePluginDir: $dir/kubelet/plugins
podLogsDir: $dir/podlogs
maxPods: 60
clusterDNS: [10.88.77.1]
clusterDomain: cluster.local
CONF
  in_background kubelet "$program" kubelet --config="$dir/kubelet.yaml" --kubeconfig="$KUBECONFIG" --root-dir="$dir/kubelet" \
    --hostname-override=localhost --node-labels="${K8S_NODE_LABELS:-test=1}"
  wait_for 90 "the node" sh -c "'$program' kubectl get node localhost | grep -q ' Ready'"
  # An extended resource, so that Jobs which ask for TPU chips are placed here.
  "$program" kubectl patch node localhost --subresource=status --type=merge \
    -p '{"status":{"capacity":{"google.com/tpu":"8"},"allocatable":{"google.com/tpu":"8"}}}' >/dev/null
}

start() {
  if [ ${#socket} -gt 100 ]; then
    say "$socket is longer than the name of a socket may be: choose a shorter folder"
    return 73
  fi
  build
  mkdir -p "$dir"/{log,pki,cni,kubelet,podlogs}
  write_access
  export KUBECONFIG=$dir/kubeconfig
  start_control_plane
  start_containerd
  load_pause
  start_kubelet
  echo "export KUBECONFIG='$KUBECONFIG'"
  echo "export KUBECTL='$program kubectl'"
}

# Each step holds when the one before it was not needed or did not work: a start may have ended anywhere.
stop() {
  local name task group
  export KUBECONFIG=$dir/kubeconfig
  if [ -s "$dir/kubelet.pid" ]; then  # the kubelet itself ends the pods, so that nothing of them stays
    timeout 60 "$program" kubectl delete jobs,pods --all -A --grace-period=1 --wait=true >/dev/null 2>&1 || true
  fi
  for name in kubelet kube-scheduler kube-controller-manager kube-apiserver etcd; do end_process $name; done
  if [ -S "$socket" ]; then
    for name in kill rm; do
      for task in $(timeout 20 ctr -a "$socket" -n k8s.io tasks ls -q 2>/dev/null); do
        if [ $name = kill ]; then
          timeout 20 ctr -a "$socket" -n k8s.io tasks kill -s KILL "$task" >/dev/null 2>&1 || true
          sleep 0.5
        else
          timeout 20 ctr -a "$socket" -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 || true
        fi
      done
    done
  fi
  end_process containerd
  for task in $(pgrep -f "containerd-shim.* -address $socket" || true); do kill "$task" 2>/dev/null || true; done
  awk -v below="$dir/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | while read -r name; do
    umount "$name" 2>/dev/null || umount -l "$name"
  done
  ip link delete ckpt0 2>/dev/null || true
  for group in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do  # empty by now
    if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true; fi
  done
}

case ${1:-} in
  build) build; echo "$program"; exit ;;
  start | load | kubelet | stop) ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac
dir=$(mkdir -p "${2:?DIR}" && cd "$2" && pwd)
socket=$dir/containerd.sock
command=$1
shift 2
case $command in
  start) start ;;
  load) for archive in "$@"; do ctr -a "$socket" -n k8s.io images import "$archive"; done ;;
  kubelet)
    export KUBECONFIG=$dir/kubeconfig
    case ${1:-} in
      stop) end_process kubelet ;;
      start) start_kubelet ;;
      *) say "kubelet DIR stop|start"; exit 64 ;;
    esac ;;
  stop) stop ;;
esac
