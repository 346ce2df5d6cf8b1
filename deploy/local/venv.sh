#!/usr/bin/env bash
# Makes .venv with the Python that python.sh names. One that was made with the same Python stays, with what is
# installed in it; one of another is made anew, as two in one would not get along.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly venv=$here/../../.venv

made_with() {
  "$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))' 2>/dev/null
}

python=$("$here/python.sh")
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
  echo "$python cannot make a virtual environment: it lacks venv or ensurepip." \
    "Install its venv package, or name another with PYTHON." >&2
  exit 1
}
if [[ -e $venv && $(made_with "$venv/bin/python") != "$(made_with "$python")" ]]; then
  rm -rf "$venv"
fi
"$python" -m venv "$venv"
