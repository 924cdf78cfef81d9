# Sourced after setup.sh. `start COMMAND` runs commands one after another, or JOBS of them at a time; `finish` waits for
# the last. FAILED is then the exit status of one that failed, or 0. GPU=0,1 names the devices: each of the JOBS places
# belongs to one of them, each of them has at least one place, and a command gets --gpu of the first place that is free.
# With several at a time each command gets an equal share of the cores, unless OMP_NUM_THREADS is set, and
# RUNS_AT_ONCE tells it how many share the memory of its device.
: "${JOBS:=1}" "${GPU:=}"
FAILED=0
read -ra DEVICES <<< "${GPU//,/ }"
PLACES=$((JOBS > ${#DEVICES[@]} ? JOBS : ${#DEVICES[@]}))
RUNNING=() # the process in each place
if [ "$PLACES" -gt 1 ]; then
    CORES=$("$PYTHON" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((CORES > PLACES ? CORES / PLACES : 1))}
    SHARING=${#DEVICES[@]}
    export RUNS_AT_ONCE=$(((PLACES - 1) / (SHARING > 0 ? SHARING : 1) + 1))
fi
trap 'kill $(jobs -p) 2> /dev/null; wait; exit 130' INT TERM # once what was started has saved where it is

start() { # COMMAND …; what it prints is dropped, because the script prints one table of everything at the end
    find_place
    if [ "${#DEVICES[@]}" -gt 0 ]; then
        set -- "$@" --gpu "${DEVICES[PLACE % ${#DEVICES[@]}]}"
    fi
    if [ "$PLACES" -le 1 ]; then
        "$@" > /dev/null || FAILED=$?
    else
        "$@" > /dev/null &
        RUNNING[PLACE]=$!
    fi
    if [ "$FAILED" -ge 128 ]; then # it was stopped by a signal: start no more
        exit "$FAILED"
    fi
}

find_place() { # sets PLACE to one that is free, once there is one
    while :; do
        for ((PLACE = 0; PLACE < PLACES; PLACE++)); do
            if [[ $'\n'$(jobs -rp)$'\n' != *$'\n'"${RUNNING[PLACE]:-nothing}"$'\n'* ]]; then
                settle
                return
            fi
        done
        wait -n || true # its place asks how it ended
    done
}

settle() { # waits for what ran in PLACE, and remembers it where that failed
    if [ -n "${RUNNING[PLACE]:-}" ]; then
        wait "${RUNNING[PLACE]}" || FAILED=$?
        RUNNING[PLACE]=
    fi
}

finish() { # waits for what was started
    for ((PLACE = 0; PLACE < PLACES; PLACE++)); do
        settle
    done
}
