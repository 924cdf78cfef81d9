# Sourced after setup.sh: runs commands one after another, or JOBS at a time, and remembers whether one failed.
# With JOBS above 1 each gets its share of the cores, unless OMP_NUM_THREADS says otherwise.
: "${JOBS:=1}"
FAILED=0
if [ "$JOBS" -gt 1 ]; then
    CORES=$("$PYTHON" -c 'import os; print(os.cpu_count())')
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((CORES > JOBS ? CORES / JOBS : 1))}
    trap 'kill $(jobs -p) 2> /dev/null; exit 130' INT TERM
fi

start() { # COMMAND …; its table is left out, as the table of everything comes last
    if [ "$JOBS" -le 1 ]; then
        "$@" > /dev/null || FAILED=$?
    else
        while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
            wait -n || FAILED=$?
        done
        "$@" > /dev/null &
    fi
    if [ "$FAILED" -ge 128 ]; then # stopped by a signal: so do the rest
        exit "$FAILED"
    fi
}

finish() { # waits for what was started
    while [ -n "$(jobs -p)" ]; do
        wait -n || FAILED=$?
    done
}
