#!/usr/bin/env bash
# A real Slurm on this machine, for tests of arrays: munged, slurmctld, and two slurmd that pass for two nodes.
#
#   slurm.sh start DIR      starts it, with all that it keeps below DIR, and prints a line to eval: export SLURM_CONF=...
#   slurm.sh stop DIR       ends its jobs, and exactly what it started; DIR may then be deleted
#
# All listen on 127.0.0.1: SLURM_PORT=26817 and the two after it. Needs root and the packages of `tools/setup.sh cluster`; a munged or
# slurmd of the system is left alone, as sockets, keys and files for process ids are its own.
set -euo pipefail
export LC_ALL=C.UTF-8

nodes=2
port=${SLURM_PORT:-26817}

say() { printf 'slurm: %s\n' "$*" >&2; }

write_configuration() {
  local host number
  host=$(hostname -s)
  cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=10
MinJobAge=300
CONF
  for ((number = 1; number <= nodes; number++)); do
    echo "NodeName=n$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + number)) CPUs=3 RealMemory=4096 State=UNKNOWN"
  done >>"$SLURM_CONF"
  echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >>"$SLURM_CONF"
}

idle_nodes() { sinfo -h -N -o %t 2>/dev/null | grep -c '^idle$' || true; }

start() {
  local number
  mkdir -p "$dir"/{state,spool,log}
  write_configuration
  head -c 128 /dev/urandom >"$dir/munge.key"
  chmod 400 "$dir/munge.key"
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.sock" --pid-file="$dir/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/munge.seed"
  slurmctld -c -f "$SLURM_CONF"
  for ((number = 1; number <= nodes; number++)); do slurmd -f "$SLURM_CONF" -N "n$number"; done
  for _ in $(seq 150); do
    if [ "$(idle_nodes)" = "$nodes" ]; then
      echo "export SLURM_CONF='$SLURM_CONF'"
      return 0
    fi
    sleep 0.2
  done
  tail -n 5 "$dir"/log/*.log >&2 || true
  say "the nodes did not come up; the logs are in $dir/log"
  return 69
}

is_alive() { [ -r "/proc/$1/status" ] && ! grep -q '^State:.Z' "/proc/$1/status"; }  # a process that nobody waited for is none

end_process() {  # end_process FILE: the process whose number it holds
  local process
  [ -s "$1" ] || return 0
  process=$(cat "$1")
  kill "$process" 2>/dev/null || true
  for _ in $(seq 50); do
    is_alive "$process" || break
    sleep 0.1
  done
  kill -9 "$process" 2>/dev/null || true
  rm -f "$1"
}

# Jobs first: what runs them (slurmstepd) would outlive slurmd.
stop() {
  local file
  if [ -s "$dir/slurmctld.pid" ]; then
    timeout 10 scancel --user=root 2>/dev/null || true
    for _ in $(seq 100); do
      [ -n "$(timeout 5 squeue -h -t running,completing 2>/dev/null)" ] || break
      sleep 0.1
    done
  fi
  for file in "$dir"/slurmd.*.pid "$dir/slurmctld.pid" "$dir/munged.pid"; do end_process "$file"; done
}

case ${1:-} in
  start | stop) ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac
dir=$(mkdir -p "${2:?DIR}" && cd "$2" && pwd)
export SLURM_CONF=$dir/slurm.conf
"$1"
