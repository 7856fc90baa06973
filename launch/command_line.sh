# Sourced by the scripts of this folder: how they read their command line, and how they run a command or only print it.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the scripts read what is set here

dry_run=
self=$(basename "$0")

# The comment at the top of a script is its --help.
usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
  exit 0
}

die() {
  printf '%s: %s\n' "$self" "$*" >&2
  exit 2
}

say() {
  printf '%s: %s\n' "$self" "$*" >&2
}

# The arguments as a shell would read them again.
quoted() {
  local argument separator=''
  for argument in "$@"; do
    printf '%s' "$separator"
    case $argument in
      '' | *[!A-Za-z0-9_./:=,@%+-]*) printf "'%s'" "$(printf '%s' "$argument" | sed "s/'/'\\\\''/g")" ;;
      *) printf '%s' "$argument" ;;
    esac
    separator=' '
  done
}

# Runs a command, or prints it under --dry-run.
run() {
  if [[ $dry_run ]]; then
    quoted "$@"
    printf '\n'
  else
    "$@"
  fi
}

# `pixjax train` would say so too, but only after machines have been waited for and paid.
require_config_and_workdir() {
  local argument config='' workdir=''
  for argument in "$@"; do
    case $argument in
      --config=*) config=$argument ;;
      --workdir=*) workdir=$argument ;;
    esac
  done
  [[ $config ]] || die "--config=NAME|FILE.py of pixjax train is missing"
  [[ $workdir ]] || die "--workdir=DIR of pixjax train is missing"
}
