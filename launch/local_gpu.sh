#!/usr/bin/env bash
# Trains on the NVIDIA GPUs of this machine: one process drives all of them.
#
#   launch/local_gpu.sh [OPTIONS] -- ARGUMENTS OF pixjax train
#   launch/local_gpu.sh --gpus=0,1 -- --config=mixed64_marker --workdir=runs/mixed
#
# Installs pixjax with the CUDA that the driver supports into .venv of this checkout, once.
#
# Options
#   --gpus=LIST     those GPUs only (all)
#   --restarts=N    start a run that failed again, up to N times (0); it continues from its last checkpoint
#   --python=FILE   the Python to make .venv with, 3.11 or newer (python3)
#   --dry-run       print the commands, run none of them

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=command_line.sh
source "$(dirname "$0")/command_line.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/.venv
gpus='' restarts=0 python=python3

while (($#)); do
  case $1 in
    --help) usage ;;
    --gpus=?*) gpus=${1#*=} ;;
    --restarts=*[!0-9]* | --restarts=) die "$1 is not a number of restarts: write --restarts=3" ;;
    --restarts=*) restarts=${1#*=} ;;
    --python=?*) python=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --) shift && break ;;
    *) die "$1 is not an option of this script: see --help; what belongs to pixjax train comes after --" ;;
  esac
  shift
done
require_config_and_workdir "$@"

if [[ $dry_run ]]; then
  driver=580 # what a new driver would say
else
  command -v nvidia-smi > /dev/null || die "there is no nvidia-smi: install the NVIDIA driver, or run pixjax train"
  driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader)
fi
driver=${driver%%$'\n'*} # a line a GPU
# https://docs.jax.dev/en/latest/installation.html: CUDA 13 needs driver 580, CUDA 12 needs 525.
if ((${driver%%.*} >= 580)); then
  extra=cuda13
elif ((${driver%%.*} >= 525)); then
  extra=cuda12
else
  die "driver $driver is older than 525, which CUDA 12 needs: install a newer NVIDIA driver"
fi

if [[ ! -f $venv/.installed-$extra ]]; then
  [[ -x $venv/bin/python ]] || run "$python" -m venv "$venv"
  run "$venv/bin/python" -m pip install --quiet --editable "${root}[$extra]"
  run touch "$venv/.installed-$extra"
fi

train=("$venv/bin/pixjax" train "$@")
if [[ $gpus ]]; then
  train=(env "CUDA_VISIBLE_DEVICES=$gpus" "${train[@]}")
fi
for ((attempt = 0; ; attempt++)); do
  code=0
  run "${train[@]}" || code=$?
  # 1 is a failure; 2 is wrong input, which stays wrong; above 128 a signal ended it.
  if ((code == 0 || code == 2 || attempt == restarts)); then
    exit "$code"
  fi
  say "pixjax train ended with exit code $code: restart $((attempt + 1)) of $restarts"
done
