# Sourced after setup.sh. `start COMMAND` runs commands one after another, or JOBS of them at a time; `finish` waits for
# the last. FAILED is then the exit status of one that failed, or 0. With JOBS above 1 each command gets an equal share
# of the cores, unless OMP_NUM_THREADS is set.
: "${JOBS:=1}"
FAILED=0
if [ "$JOBS" -gt 1 ]; then
    CORES=$("$PYTHON" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((CORES > JOBS ? CORES / JOBS : 1))}
    trap 'kill $(jobs -p) 2> /dev/null; exit 130' INT TERM
fi

start() { # COMMAND …; what it prints is dropped, because the script prints one table of everything at the end
    if [ "$JOBS" -le 1 ]; then
        "$@" > /dev/null || FAILED=$?
    else
        while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
            wait -n || FAILED=$?
        done
        "$@" > /dev/null &
    fi
    if [ "$FAILED" -ge 128 ]; then # it was stopped by a signal: start no more
        exit "$FAILED"
    fi
}

finish() { # waits for what was started
    while [ -n "$(jobs -p)" ]; do
        wait -n || FAILED=$?
    done
}
