#!/usr/bin/env bash
# Installs what the machine lacks from the distribution's own packages, and starts none of it.
#
#   setup.sh            python3-venv and rabbitmq-server (the latter not when RABBITMQ_URL is set)
#   setup.sh --python   python3-venv only
#   setup.sh --tests    postgresql, node with npm and chromium as well
#
# What is there is looked up by file, so a machine that has everything is done in milliseconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly policy=/usr/sbin/policy-rc.d
readonly policy_saved=$policy.before-session-chain
readonly policy_mark='session-chain-orchestrator: nothing starts while packages are installed'

# -- what is missing ---------------------------------------------------------------------------

missing_packages() {
  [[ -x $here/../../.venv/bin/python ]] || missing_venv
  [[ $1 != --python ]] || return 0
  if [[ -z ${RABBITMQ_URL:-} && ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
    echo rabbitmq-server
  fi
  [[ $1 == --tests ]] || return 0
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
  command -v node >/dev/null || echo nodejs
  command -v npm >/dev/null || echo npm
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || echo chromium
}

missing_venv() {
  local python
  python=$("$here/python.sh") || exit 1
  "$python" -c 'import ensurepip, venv' 2>/dev/null || venv_package "$python"
}

# The distribution splits venv by version: python3-venv serves python3, python3.12-venv python3.12.
venv_package() {
  case $(basename "$1") in
    python3) echo python3-venv ;;
    *) echo "$(basename "$1")-venv" ;;
  esac
}

# -- installing --------------------------------------------------------------------------------

install_packages() {
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  trap allow_starts EXIT
  forbid_starts
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update
  "${apt[@]}" install --no-install-recommends "$@"
  forbid_at_boot "$@"
}

# Packages start their services through invoke-rc.d, which asks policy-rc.d first; 101 forbids.
forbid_starts() {
  if [[ -e $policy ]] && ! grep -qF "$policy_mark" "$policy"; then
    mv "$policy" "$policy_saved"
  fi
  printf '#!/bin/sh\n# %s\nexit 101\n' "$policy_mark" >"$policy"
  chmod 755 "$policy"
}

allow_starts() {
  rm -f "$policy"
  if [[ -e $policy_saved ]]; then
    mv "$policy_saved" "$policy"
  fi
}

# What we brought only for private use shall not start at the next boot either.
forbid_at_boot() {
  command -v systemctl >/dev/null || return 0
  local package
  for package in "$@"; do
    case $package in
      rabbitmq-server | postgresql) systemctl --quiet disable "$package.service" || true ;;
    esac
  done
}

# -- with the rights there are -------------------------------------------------------------------

main() {
  local packages
  if [[ ${1:-} == --install ]]; then
    shift
    install_packages "$@"
    return
  fi
  packages=$(missing_packages "${1:-}")
  [[ -n $packages ]] || return 0
  # shellcheck disable=SC2086 # one word is one package
  set -- $packages
  if ((EUID == 0)); then
    install_packages "$@"
  elif sudo -n true 2>/dev/null; then
    exec sudo -n "$here/setup.sh" --install "$@"
  else
    echo "Missing: $*. Installing them needs root; run this once, then the same again:" >&2
    echo "  sudo $here/setup.sh --install $*" >&2
    return 1
  fi
}

main "$@"
