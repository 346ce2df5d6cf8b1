#!/usr/bin/env bash
# Prints the Python to use: $PYTHON if that is set, else the newest released one >= 3.11 that there is,
# first among those that can make a venv as they are. With a word on the remedy when there is none.
#
# Of two of the same version it takes the distribution's own, before one that comes earlier on the PATH:
# distributions build with profile-guided optimisation, version managers most often without, which costs
# each of our processes a sixth of its speed.
set -euo pipefail

candidates() {
  local name
  for name in python3.14 python3.13 python3.12 python3.11 python3; do
    [[ ! -x /usr/bin/$name ]] || echo "/usr/bin/$name"
    command -v "$name" || true
  done
}

is_recent() {
  "$1" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) or v.releaselevel != "final")' \
    2>/dev/null
}

has_venv() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null
}

if [[ -n ${PYTHON:-} ]]; then
  if path=$(command -v "$PYTHON") && is_recent "$path"; then
    echo "$path"
    exit 0
  fi
  echo "PYTHON=$PYTHON is no released Python 3.11 or newer. Correct it, or unset it." >&2
  exit 1
fi

fallback=
while read -r path; do
  if is_recent "$path"; then
    if has_venv "$path"; then
      echo "$path"
      exit 0
    fi
    fallback=${fallback:-$path}
  fi
done < <(candidates)
if [[ -n $fallback ]]; then
  echo "$fallback"
  exit 0
fi
echo "No Python 3.11 or newer on the PATH. Install one: apt-get install python3" \
  "(Debian 12, Ubuntu 24.04 or newer), then run this again." >&2
exit 1
