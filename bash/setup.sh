# Sourced by the other scripts: makes the user's paths absolute, goes to the repository's top, makes .venv where there
# is none, installs what REQUIREMENTS (a file; requirements.txt by default) names where that has changed, sets $PYTHON.
# PYTHON=/path/to/python uses that interpreter as it is and installs nothing.
for NAME in DATA_PATH SAVE_PATH; do # given relative to where the user stands, who may stand anywhere
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
