#!/usr/bin/env bash
# Builds a target of the Dockerfile and trains in it, where there is neither docker nor a registry of images.
#
#   launch/docker/try_without_docker.sh [OPTIONS]
#
# buildah reads the Dockerfile and runs its steps in a chroot. The base image is a Debian that mmdebstrap makes, with that
# Debian's own Python: it stands in for the python:…-slim that the Dockerfile names. Run it as root, after
# apt-get install buildah mmdebstrap. It takes some minutes, and 6 GB below the folder.
#
# Options
#   --target=NAME     of the Dockerfile (cpu)
#   --suite=NAME      of Debian; its Python has to be 3.11 or newer (bookworm)
#   --folder=DIR      where the images are built, and stay (a new one in /var/tmp, removed at the end)
#   --dry-run         print the commands, run none of them

set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../command_line.sh
source "$(dirname "$0")/../command_line.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
dockerfile=$root/launch/docker/Dockerfile
target=cpu suite=bookworm folder=''
while (($#)); do
  case $1 in
    --help) usage ;;
    --target=?*) target=${1#*=} ;;
    --suite=?*) suite=${1#*=} ;;
    --folder=?*) folder=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    *) die "$1 is not an option of this script: see --help" ;;
  esac
  shift
done
if [[ $dry_run ]]; then
  folder=${folder:-/var/tmp/pixjax-image}
else
  ((EUID == 0)) || die "buildah needs root for a chroot: run it as root"
  for tool in buildah mmdebstrap; do
    command -v "$tool" > /dev/null || die "there is no $tool: apt-get install buildah mmdebstrap"
  done
  if [[ ! $folder ]]; then
    folder=$(mktemp -d /var/tmp/pixjax-image.XXXXXX)
    trap 'rm -rf "$folder"' EXIT
  fi
fi

build() {
  run buildah "--root=$folder/storage" "--runroot=$folder/run" --storage-driver=vfs "$@"
}

# The certificates of this machine, for networks with an authority of their own.
certificates=/etc/ssl/certs/ca-certificates.crt
trusting=("--volume=$certificates:$certificates:ro" "--env=PIP_CERT=$certificates")

if [[ ! -f $folder/$suite.tar ]]; then
  run mmdebstrap --quiet --variant=minbase --include=python3,python3-pip,ca-certificates "$suite" "$folder/$suite.tar"
fi
build from --quiet --name=base scratch
build add --quiet base "$folder/$suite.tar" /
# The image of Python has `python`, and a pip that installs beside the distribution's packages.
build run --isolation=chroot base sh -c \
  'ln -sf /usr/bin/python3 /usr/local/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED'
base=$(sed -n 's/^FROM \(\S*:\S*\) .*/\1/p' "$dockerfile")
build commit --quiet base "docker.io/library/$base"

build bud --isolation=chroot --pull-never "--target=$target" "--tag=pixjax:$target" "${trusting[@]}" \
  "--file=$dockerfile" "$root"
build from --quiet --name=image --pull-never "pixjax:$target"
tiny=(--config=demo --workdir=/runs/demo --config.training.steps=2)
build run --isolation=chroot image pixjax train "${tiny[@]}"
build run --isolation=chroot image pixjax sample --workdir=/runs/demo --num=2 --steps=2 --out=/runs/demo/samples
build run --isolation=chroot image pixjax inspect --workdir=/runs/demo --verify
[[ $dry_run ]] || say "target $target was built on $suite, trained and sampled"
