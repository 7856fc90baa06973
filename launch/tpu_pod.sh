#!/usr/bin/env bash
# Trains on a Cloud TPU: creates the slice, installs pixjax on all of its hosts, starts them in one go.
#
#   launch/tpu_pod.sh COMMAND NAME --zone=ZONE [OPTIONS] [-- ARGUMENTS OF pixjax train]
#   launch/tpu_pod.sh run my-run --zone=us-east5-a --type=v5p-64 --version=v2-alpha-tpuv5 --spot \
#       -- --config=mixed64_marker --workdir=gs://my-bucket/runs/mixed
#
# Commands
#   create    create the TPU VM, or reuse the one that is there; one that was preempted is replaced
#   install   put this checkout, as committed, or a clone of --repo on every host, and install it there
#   start     start pixjax train on every host; does nothing on hosts where it runs
#   run       create, install and start, whatever of it is missing: the same command resumes after a preemption
#   watch     run, again and again until the training is done; this script has to stay alive meanwhile
#   logs      follow the log of a host
#   status    say how the TPU is, and each host
#   stop      have every host save and stop
#   delete    delete the TPU, and its queued request
#
# Options
#   --zone=ZONE         of the TPU (always)
#   --project=ID        of Google Cloud (as gcloud is configured)
#   --type=TYPE         accelerator type, for instance v5p-64 (create, run, watch)
#   --version=VERSION   TPU software: v2-alpha-tpuv5 for v5p, v2-alpha-tpuv5-lite for v5e, v2-alpha-tpuv6e for v6e,
#                       tpu-ubuntu2204-base before (create, run, watch)
#   --spot              ask for preemptible capacity
#   --queued            ask through a queued resource, and wait in its queue
#   --repo=URL          clone this instead of copying the checkout; --ref=NAME is its branch or tag
#   --worker=N          the host whose log is followed (0)
#   --every=SECONDS     between two looks, while waiting and watching (60)
#   --dry-run           print the commands of a TPU that does not exist yet, run none of them
#
# The hosts of a slice share no disk, so --workdir has to be gs:// where there are several. All that the script writes
# on a host is in ~/pixjax-launch. A slice costs money until it is deleted, also when nothing runs on it.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=command_line.sh
source "$(dirname "$0")/command_line.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
stopped=42 # what pixjax train ends with when a signal stopped it before its last step
zone='' project='' type='' version='' spot='' queued='' repo='' ref='' worker=0 every=60

(($#)) || die "which command? create, install, start, run, watch, logs, status, stop or delete: see --help"
[[ $1 == --help ]] && usage
command=$1
shift
case $command in
  create | install | start | run | watch | logs | status | stop | delete) ;;
  *) die "$command is not a command: write create, install, start, run, watch, logs, status, stop or delete" ;;
esac
case ${1:-} in
  --help) usage ;;
  '' | -*) die "the name of the TPU is missing: write $self $command NAME --zone=ZONE" ;;
esac
name=$1
shift

while (($#)); do
  case $1 in
    --help) usage ;;
    --zone=?*) zone=${1#*=} ;;
    --project=?*) project=${1#*=} ;;
    --type=?*) type=${1#*=} ;;
    --version=?*) version=${1#*=} ;;
    --spot) spot=--spot ;;
    --queued) queued=1 ;;
    --repo=?*) repo=${1#*=} ;;
    --ref=?*) ref=${1#*=} ;;
    --worker=*[!0-9]* | --worker= | --every=*[!0-9]* | --every=) die "$1 is not a number" ;;
    --worker=*) worker=${1#*=} ;;
    --every=*) every=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --) shift && break ;;
    *) die "$1 is not an option of this script: see --help; what belongs to pixjax train comes after --" ;;
  esac
  shift
done

[[ $zone ]] || die "--zone=ZONE of the TPU is missing"
case $command in
  create | run | watch)
    [[ $type ]] || die "--type=TYPE is missing, for instance --type=v5p-64"
    [[ $version ]] || die "--version=VERSION of the TPU software is missing, for instance --version=v2-alpha-tpuv5"
    ;;
esac
case $command in
  start | run | watch) require_config_and_workdir "$@" ;;
  *) (($# == 0)) || die "$command takes no arguments of pixjax train" ;;
esac
[[ $ref && ! $repo ]] && die "--ref=$ref is of --repo=URL, which is missing"
[[ $dry_run ]] || command -v gcloud > /dev/null || die "there is no gcloud: install the Google Cloud CLI"

tpus=(gcloud compute tpus)
where=("--zone=$zone")
[[ $project ]] && where+=("--project=$project")

on_all_hosts() {
  run "${tpus[@]}" tpu-vm ssh "$name" "${where[@]}" --worker=all "--command=$1"
}

# How the TPU is, or its queued request as long as that has no TPU; nothing where there is none.
state() {
  local request=ACTIVE
  if [[ $queued ]]; then
    request=$("${tpus[@]}" queued-resources list "${where[@]}" \
      "--filter=name~/queuedResources/$name\$" '--format=value(state.state)') || return
  fi
  if [[ $request == ACTIVE ]]; then
    request=$("${tpus[@]}" tpu-vm list "${where[@]}" "--filter=name~/nodes/$name\$" '--format=value(state)') || return
  fi
  printf '%s' "$request"
}

request_tpu() {
  if [[ $queued ]]; then
    run "${tpus[@]}" queued-resources create "$name" "--node-id=$name" "${where[@]}" \
      "--accelerator-type=$type" "--runtime-version=$version" ${spot:+"$spot"}
  else
    run "${tpus[@]}" tpu-vm create "$name" "${where[@]}" \
      "--accelerator-type=$type" "--version=$version" ${spot:+"$spot"}
  fi
}

delete() {
  if [[ $queued ]]; then
    run "${tpus[@]}" queued-resources delete "$name" "${where[@]}" --force --quiet
  else
    run "${tpus[@]}" tpu-vm delete "$name" "${where[@]}" --quiet
  fi
}

create() {
  local now before='' requested=
  if [[ $dry_run ]]; then
    request_tpu
    return
  fi
  while true; do
    now=$(state)
    [[ $now == "$before" ]] || say "$name is $now"
    before=$now
    case $now in
      READY) return ;;
      '')
        if [[ $requested ]]; then
          sleep "$every" # it is not listed yet
        else
          request_tpu
          requested=1
        fi
        ;;
      PREEMPTED | TERMINATED | SUSPENDED)
        delete
        requested=
        ;;
      FAILED | STOPPED) die "$name is $now: look at it in the console, or start anew after $self delete $name" ;;
      *) sleep "$every" ;;
    esac
  done
}

# shellcheck disable=SC2016  # for the shell of a host, in ~/pixjax-launch
is_training='[ ! -f train.code ] && [ -f train.pid ] && kill -0 $(cat train.pid) 2> /dev/null'

# Runs on the hosts, in their home. Python comes with uv: the TPU images have 3.10, pixjax needs 3.11.
install() {
  local fetch
  if [[ $repo ]]; then
    fetch="git clone --quiet --depth=1 $(quoted ${ref:+"--branch=$ref"} "$repo") source"
  else
    local archive
    git -C "$root" diff --quiet HEAD -- || say "what is not committed is not copied"
    archive=$([[ $dry_run ]] && echo /tmp/pixjax.tar.gz || echo "$(mktemp -d)/pixjax.tar.gz")
    run git -C "$root" archive --format=tar.gz "--output=$archive" HEAD
    on_all_hosts 'mkdir -p pixjax-launch'
    run "${tpus[@]}" tpu-vm scp "$archive" "$name:pixjax-launch/pixjax.tar.gz" "${where[@]}" --worker=all
    fetch='mkdir source && tar -xzf pixjax.tar.gz -C source'
  fi
  on_all_hosts "set -e
mkdir -p pixjax-launch && cd pixjax-launch
if $is_training; then
  echo \$(hostname) is training: stop it first >&2
  exit 1
fi
rm -rf installed source venv
$fetch
export PATH=\$HOME/.local/bin:\$PATH
command -v uv > /dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
uv venv --quiet --python=3.12 venv
uv pip install --quiet --python=venv/bin/python './source[tpu,gcs]'
touch installed"
}

is_installed() {
  [[ ! $dry_run ]] && on_all_hosts 'test -f pixjax-launch/installed'
}

# The training outlives the connection. It has a process group of its own, whose number is in train.pid; its exit code
# comes into train.code.
start() {
  local train
  train=$(quoted venv/bin/pixjax train "--stopped-exit-code=$stopped" "$@")
  on_all_hosts "set -e
cd pixjax-launch
if $is_training; then
  echo \$(hostname) is training already
  exit 0
fi
rm -f train.code
nohup setsid bash -c $(quoted "trap : TERM; $train; echo \$? > train.code") >> train.log 2>&1 < /dev/null &
echo \$! > train.pid
echo \$(hostname) is training"
}

stop() {
  on_all_hosts "cd pixjax-launch && $is_training || exit 0
group=\$(cat train.pid)
kill -TERM -- -\$group
for try in \$(seq 600); do
  if $is_training; then sleep 0.5; else exit 0; fi
done
kill -KILL -- -\$group"
}

status() {
  [[ $dry_run ]] || say "$name is $(state)"
  on_all_hosts "cd pixjax-launch 2> /dev/null || { echo \$(hostname) has nothing installed; exit 0; }
if [ -f train.code ]; then echo \$(hostname) ended with exit code \$(cat train.code)
elif $is_training; then echo \$(hostname) is training
else echo \$(hostname) is not training; fi
tail -n 1 train.log 2> /dev/null || true"
}

logs() {
  run "${tpus[@]}" tpu-vm ssh "$name" "${where[@]}" "--worker=$worker" \
    '--command=tail -n 100 -F pixjax-launch/train.log'
}

run_all() {
  create
  is_installed || install
  start "$@"
}

# The exit code of the training on the first host, or that it is gone, as after a reboot; nothing while it runs, or where
# the host does not answer.
exit_code() {
  "${tpus[@]}" tpu-vm ssh "$name" "${where[@]}" --worker=0 "--command=cd pixjax-launch
if [ -f train.code ]; then cat train.code; elif ! { $is_training; }; then echo gone; fi" || true
}

watch() {
  local now code runs='' failures=0
  if [[ $dry_run ]]; then
    run_all "$@"
    return
  fi
  while true; do
    if [[ ! $runs ]]; then
      # In a shell of its own: a host that does not answer, or a TPU that goes meanwhile, ends only this try.
      set +e
      (
        set -e
        run_all "$@"
      )
      code=$?
      set -e
      ((code == 2)) && exit 2
      ((code == 0)) && runs=1
    fi
    sleep "$every"
    now=$(state) || continue
    if [[ $now != READY ]]; then
      say "$name is ${now:-gone}"
      runs=
    elif [[ $runs ]]; then
      code=$(exit_code)
      case $code in
        '') continue ;;
        0) say "the training is done" && return ;;
        "$stopped" | gone) failures=0 ;;
        *) failures=$((failures + 1)) ;;
      esac
      if ((failures == 3)); then
        die "the training failed three times in a row, the last with exit code $code: see $self logs $name"
      fi
      say "the training ended (exit code $code): starting it again"
      stop || true # the hosts that have not noticed
      runs=
    fi
  done
}

case $command in
  run) run_all "$@" ;;
  *) "$command" "$@" ;;
esac
