#!/usr/bin/env bash
# Trains on the TPUs of a GKE cluster that xpk manages.
#
#   launch/gke/xpk.sh COMMAND [NAME] [OPTIONS] [-- ARGUMENTS OF pixjax train]
#   launch/gke/xpk.sh image --image=us-docker.pkg.dev/my-project/my-repo/pixjax:tpu
#   launch/gke/xpk.sh start my-run --cluster=my-cluster --zone=us-east5-a --type=v5p-64 \
#       --image=us-docker.pkg.dev/my-project/my-repo/pixjax:tpu -- --config=mixed64_marker --workdir=gs://my-bucket/runs/mixed
#
# Commands
#   image     build the image of this checkout and push it (no NAME)
#   start     create the workload; preempted or failed, it starts again by itself and continues
#   logs      follow the log of the first host
#   status    list the workloads of the cluster
#   delete    delete the workload
#
# Options
#   --cluster=NAME    of GKE (start, status, delete)
#   --zone=ZONE       of the cluster (start, status, delete)
#   --project=ID      of Google Cloud (as gcloud is configured)
#   --type=TYPE       accelerator type of a slice, for instance v5p-64 (start)
#   --slices=N        how many slices (1)
#   --image=IMAGE     name of the image (image, start)
#   --restarts=N      times that the workload may start again (30)
#   --dry-run         print the commands, run none of them

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../command_line.sh
source "$(dirname "$0")/../command_line.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
stopped=42 # what pixjax train ends with when a signal stopped it; xpk restarts on 42 and 127 to 255, and as told; 75: a lost process
cluster='' zone='' project='' type='' slices=1 image='' restarts=30 name=''

(($#)) || die "which command? image, start, logs, status or delete: see --help"
[[ $1 == --help ]] && usage
command=$1
shift
case $command in
  image | status) ;;
  start | logs | delete)
    case ${1:-} in
      --help) usage ;;
      '' | -*) die "the name of the workload is missing: write $self $command NAME" ;;
    esac
    name=$1
    shift
    ;;
  *) die "$command is not a command: write image, start, logs, status or delete" ;;
esac

while (($#)); do
  case $1 in
    --help) usage ;;
    --cluster=?*) cluster=${1#*=} ;;
    --zone=?*) zone=${1#*=} ;;
    --project=?*) project=${1#*=} ;;
    --type=?*) type=${1#*=} ;;
    --slices=*[!0-9]* | --slices= | --restarts=*[!0-9]* | --restarts=) die "$1 is not a number" ;;
    --slices=*) slices=${1#*=} ;;
    --image=?*) image=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --) shift && break ;;
    *) die "$1 is not an option of this script: see --help; what belongs to pixjax train comes after --" ;;
  esac
  shift
done

case $command in
  start | status | delete)
    [[ $cluster ]] || die "--cluster=NAME is missing"
    [[ $zone ]] || die "--zone=ZONE of the cluster is missing"
    ;;
esac
case $command in
  image | start) [[ $image ]] || die "--image=IMAGE is missing" ;;
esac
if [[ $command == start ]]; then
  [[ $type ]] || die "--type=TYPE is missing, for instance --type=v5p-64"
  require_config_and_workdir "$@"
else
  (($# == 0)) || die "$command takes no arguments of pixjax train"
fi

where=("--cluster=$cluster" "--zone=$zone")
[[ $project ]] && where+=("--project=$project")

image() {
  run docker build "--file=$root/launch/docker/Dockerfile" --target=tpu "--tag=$image" "$root"
  run docker push "$image"
}

# xpk writes the command into a shell script that passes SIGTERM to it: exec leaves no shell in between. Exit code 2 is
# wrong input, but also a workdir that is still in use; 75 is a run that lost one of its processes.
start() {
  run xpk workload create "--workload=$name" "${where[@]}" "--tpu-type=$type" "--num-slices=$slices" \
    "--docker-image=$image" "--max-restarts=$restarts" --restart-on-exit-codes=1,2,75 --termination-grace-period-seconds=120 \
    "--command=exec $(quoted pixjax train "--stopped-exit-code=$stopped" "$@")"
}

logs() {
  run kubectl logs --follow --tail=100 --container=jax-tpu \
    "--selector=jobset.sigs.k8s.io/jobset-name=$name,jobset.sigs.k8s.io/job-index=0,batch.kubernetes.io/job-completion-index=0"
}

status() {
  run xpk workload list "${where[@]}"
}

delete() {
  run xpk workload delete "--workload=$name" "${where[@]}" --force
}

"$command" "$@"
