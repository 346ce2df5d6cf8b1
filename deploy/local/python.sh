#!/usr/bin/env bash
# Prints the newest released Python >= 3.11 on the PATH; with a word on the remedy when there is none.
set -euo pipefail

is_recent() {
  "$1" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) or v.releaselevel != "final")' \
    2>/dev/null
}

for name in python3.14 python3.13 python3.12 python3.11 python3; do
  if path=$(command -v "$name") && is_recent "$path"; then
    echo "$path"
    exit 0
  fi
done
echo "No Python 3.11 or newer on the PATH. Install one: apt-get install python3" \
  "(Debian 12, Ubuntu 24.04 or newer), then run this again." >&2
exit 1
