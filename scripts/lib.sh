# Shared by the scripts: finds the clone and creates its virtual environment once.
# To be sourced by bash; afterwards $ROOT is the clone and $PY the environment's Python.

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="$ROOT/.venv"
PY="$VENV/bin/python"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Print a Python >= 3.11: $PYTHON if it is set, else preferably one that can create environments.
find_python() {
    local name path fallback=""
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        path="$(command -v "$name" 2>/dev/null)" || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$path"
            return 0
        fi
        fallback="${fallback:-$path}"
    done
    [ -n "$fallback" ] && printf '%s\n' "$fallback"
}

# A minimal Debian lacks Python or its venv module.
install_python() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing python3, python3-venv and python3-pip with apt-get"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends python3 python3-venv python3-pip; } >&2
}

make_venv() {
    local python
    python="$(find_python)" || python=""
    if [ -z "$python" ] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        install_python || true
        python="$(find_python)" || die "no Python >= 3.11 found: install one, or set PYTHON to its path"
    fi
    say "creating .venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear "$VENV" >&2 ||
        die "$python cannot create an environment: install its venv module (Debian: apt install python3-venv)"
}

# What the environment was created from: it is stale if setup.cfg or the path of the clone has changed.
venv_sources() { printf '%s %s\n' "$(cksum <"$ROOT/setup.cfg")" "$ROOT"; }

venv_ready() { [ -x "$PY" ] && [ "$(cat "$VENV/.made-from" 2>/dev/null)" = "$(venv_sources)" ]; }

# Make .venv with the library and its test and documentation tools in it, unless it is there and up to date.
setup() {
    venv_ready && return 0
    if command -v flock >/dev/null; then
        exec 9>"$ROOT/.venv.lock"
        flock 9
        venv_ready && { exec 9>&-; return 0; }
    fi
    "$PY" -m pip --version >/dev/null 2>&1 || make_venv
    say "installing stackl_flow and its test and documentation tools into .venv (the first time takes a minute or two)"
    "$PY" -m pip install --quiet --disable-pip-version-check --editable "$ROOT[test,docs]" >&2 ||
        die "pip could not install the dependencies, see above. Run the script again to continue."
    venv_sources >"$VENV/.made-from"
    if command -v flock >/dev/null; then exec 9>&-; fi
}
