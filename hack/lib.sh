# Shared by the scripts beside it: where things are, a Python that is new enough, and uv. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${HOLDFAST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdfast}
uv_version=0.13.8

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

# The first Python >= 3.11 on the PATH.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "no Python >= 3.11 on the PATH: install one (Debian: apt-get install python3 python3-venv)"
}

# Wait for our turn: one process at a time changes what $1 names. The lock goes with the process.
take_turn() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    if ! flock -n 9; then
        say "another process is setting up $2, waiting for it"
        flock 9
    fi
}

end_turn() { exec 9>&-; }

# Print the path of a uv that works: the one on the PATH, or our own, fetched once.
find_uv() {
    local own=$cache/uv-$uv_version/uv lacks=() python work
    if command -v uv >/dev/null && uv pip --help >/dev/null 2>&1; then
        command -v uv
        return
    fi
    lacks+=("  - uv on the PATH: none")
    if [ ! -x "$own" ]; then
        python=$(find_python) || exit 1
        work=$(mktemp -d "$cache/uv.tmp.XXXXXX")
        say "fetching uv $uv_version"
        if "$python" -m venv "$work/venv" >"$work/log" 2>&1; then
            "$work/venv/bin/python" -m pip install --quiet "uv==$uv_version" >"$work/log" 2>&1 ||
                lacks+=("  - pip in a new virtual environment: $(tail -n 1 "$work/log")")
        else
            lacks+=("  - $python -m venv: $(tail -n 1 "$work/log") (Debian: apt-get install python3-venv)")
            "$python" -m pip install --quiet --target "$work/venv" "uv==$uv_version" >"$work/log" 2>&1 ||
                lacks+=("  - $python -m pip: $(tail -n 1 "$work/log")")
        fi
        if [ -x "$work/venv/bin/uv" ]; then
            mkdir -p "$(dirname "$own")"
            cp "$work/venv/bin/uv" "$own.tmp.$$"
            mv "$own.tmp.$$" "$own"
        fi
        rm -rf "$work"
    fi
    [ -x "$own" ] || fail "cannot get uv, which installs the locked packages; what was tried:" "${lacks[@]}"
    printf '%s\n' "$own"
}
