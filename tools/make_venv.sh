#!/bin/sh
# Put vidfleet[$1] into .venv, which is made where there is none. Called by make; $1 is "demo" or "dev".
# Uses uv where it is installed (faster), else pip. PYTHON=... chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "vidfleet needs Python 3.11 or newer; ${PYTHON:-python3} is $(${PYTHON:-python3} --version 2>&1 || true)." >&2
    echo "Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2
    return 1
}

make_venv() {
    python=$(find_python)
    "$python" -m venv --clear .venv >/dev/null 2>&1 && return
    rm -rf .venv
    if command -v uv >/dev/null; then
        uv venv --quiet --seed --python "$python" .venv && return
    fi
    echo "$python cannot make a virtual environment: its venv module is missing or incomplete." >&2
    echo "On Debian and Ubuntu: apt install python3-venv. Then run make again." >&2
    return 1
}

is_new_enough .venv/bin/python || make_venv
echo "Setting up .venv with vidfleet[$1]; the first time takes a minute or two." >&2
if ! command -v uv >/dev/null || ! uv pip install --quiet --python .venv/bin/python -e ".[$1]"; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$1]"
fi
touch ".venv/.$1"
[ "$1" != dev ] || touch .venv/.demo # [dev] holds [demo]
