# Sourced by the other scripts. Makes DATA_PATH and SAVE_PATH absolute, changes to the repository's top folder, and
# defines `prepare [FILE]`, which sets $PYTHON: it makes .venv if there is none, and installs the packages that FILE
# (default: requirements.txt) names if the list has changed since the last time.
# PYTHON=/path/to/python uses that interpreter as it is and installs nothing.
# EPS is LCMat's --eps in all of them: the 0.01 of the paper's scripts, where --eps itself defaults to the original's
# 0.05.
: "${EPS:=0.01}"
for NAME in DATA_PATH SAVE_PATH; do # relative paths are relative to the folder that the script is called from
    if [ -n "${!NAME:-}" ] && [[ ${!NAME} != [/~]* ]]; then
        printf -v "$NAME" '%s/%s' "$PWD" "${!NAME}"
    fi
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

prepare() {
    local requirements=${1:-requirements.txt}
    if [ -n "${PYTHON:-}" ]; then
        return
    fi
    PYTHON=$PWD/.venv/bin/python
    if [ ! -x "$PYTHON" ]; then
        echo "making .venv" >&2
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
            echo "error: Python 3.10 or newer is needed; python3 is $(python3 --version 2>&1)" >&2
            exit 2
        }
        python3 -m venv .venv
    fi
    local wanted stamp=.venv/installed-${requirements%.txt}
    wanted=$(cat requirements.txt "$requirements" | sort -u)
    if [ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ]; then
        echo "installing $requirements into .venv (several minutes the first time)" >&2
        "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$requirements"
        echo "$wanted" > "$stamp"
    fi
}
