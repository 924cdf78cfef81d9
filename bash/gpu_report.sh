#!/usr/bin/env bash
# What a GPU does with all of this, in slices: a call works for SLICE seconds at most, each table is there as soon as it
# is known, and the next call goes on where this one stopped. The last lines say what there was no time for: call it
# again until they say that nothing is left. The PARTS, in this order, and their tables, SAVE_PATH/<part>.md:
#   runs          does everything run: every method, condensation, step-by-step learning, other networks, landscapes
#   selection     LCMat's selection beside the same on the CPU
#   training      images a second and their share of the peak, by MODES: eager, compiled, as CUDA graphs
#   study         all of DATASET with MODEL at FRACTIONS, by WAYS of bash/study.sh, JOBS runs at once
#   precision     bfloat16 beside float32, by PRECISION_WAYS at PRECISION_FRACTIONS
#   condensation  METHODS at IPC images a class, with ConvNet
# Overridden from the environment: SLICE PARTS DATASET DATA_PATH MODEL WAYS FRACTIONS SEEDS EPOCHS PROXY_EPOCHS MODES
#   PRECISION_WAYS PRECISION_FRACTIONS METHODS IPC NUM_EVAL RUN_METHODS GPU JOBS SAVE_PATH, and by further flags of
#   benchmarks/gpu.py in BENCHMARK and of condense.py in CONDENSATION. IMAGES names a folder of train/<class>/* and
#   test/<class>/*; without it CIFAR10 is downloaded.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
export PYTHON

: "${SLICE:=480}" "${PARTS:=runs selection training study precision condensation}" "${MODEL:=ResNet18}"
: "${WAYS:=Uniform LCMat LCMat-evaluation LCMat-class_batches LCMat-released GraphCut}" "${SEEDS:=0 1 2}"
: "${FRACTIONS:=0.001 0.005 0.01 0.05 0.1}" "${EPOCHS:=200}" "${PROXY_EPOCHS:=10}" "${MODES:=eager compiled graphs}"
: "${PRECISION_WAYS:=Uniform LCMat}" "${PRECISION_FRACTIONS:=0.01 0.1}" "${METHODS:=DSA LCMat}" "${IPC:=1 10}"
: "${NUM_EVAL:=5}" "${RUN_METHODS:=}" "${BENCHMARK:=}" "${CONDENSATION:=}" "${JOBS:=4}"
: "${SAVE_PATH:=$PWD/result/gpu_report}"
if [ -n "${IMAGES:-}" ]; then
    DATASET=ImageFolder DATA_PATH=$IMAGES
fi
: "${DATASET:=CIFAR10}" "${DATA_PATH:=data}"
export JOBS DATA_PATH OUT=$SAVE_PATH
END=$((SECONDS + SLICE - SLICE / 24)) # what is left of the slice is for interrupted work to save where it is
LEFT=() FAILED=() WORK=
mkdir -p "$OUT/done"
trap 'kill $WORK 2> /dev/null; wait; exit 130' INT TERM

once() { # NAME COMMAND …; unless it is done, runs it in what is left of the slice; its output is OUT/NAME.out
    local name=$1 status=0 started=$SECONDS
    shift
    if [ -e "$OUT/done/$name" ]; then
        return
    fi
    if [ "$SECONDS" -ge "$END" ]; then
        LEFT+=("$name")
        return
    fi
    echo "$name" >&2
    timeout --kill-after=15 $((END - SECONDS)) "$@" > "$OUT/$name.out" 2> "$OUT/$name.log" &
    WORK=$!
    wait "$WORK" || status=$?
    case $status in
        0) echo "yes, $((SECONDS - started)) s in its last call" > "$OUT/done/$name" ;;
        124 | 137) LEFT+=("$name, which goes on") ;;
        *) FAILED+=("$name (status $status, see $OUT/$name.log)") ;;
    esac
}

runs() {
    local digits=(--dataset Digits --model MLP --epochs 1 --batch 256) save=(--save_path "$OUT/runs")
    once runs-methods env DATASET=Digits MODEL=MLP METHODS="$RUN_METHODS" FRACTIONS=0.02 SEEDS=1 EPOCHS=1 \
        PROXY_EPOCHS=1 SAVE_PATH="$OUT/runs" bash bash/compare_methods.sh
    once runs-condensation env DATASET=Digits MODEL=MLP METHODS="$METHODS" IPC=2 SEEDS=0 NUM_EVAL=1 ITERATIONS=1 \
        DM_ITERATIONS=1 OUTER=2 INNER=1 SAVE_PATH="$OUT/runs/condensation" bash bash/condense.sh --epochs 1
    once runs-continual "$PYTHON" continual.py "${digits[@]}" --steps 2 --ipc 2 --selection LCMat --eps "$EPS" -se 1 \
        "${save[@]}"
    once runs-networks "$PYTHON" cross_network_generalization.py "${digits[@]}" --selection LCMat --cross LeNet "${save[@]}"
    once runs-landscape "$PYTHON" landscape.py --dataset Digits --model MLP -se 1 --selection LCMat --eps "$EPS" \
        --fraction 0.02 --points 3 --random 2 "${save[@]}"
    {
        printf '| what | does it run |\n| --- | --- |\n'
        for NAME in methods condensation continual networks landscape; do
            echo "| $NAME | $(cat "$OUT/done/runs-$NAME" 2> /dev/null || echo "not yet") |"
        done
    } > "$OUT/runs.md"
}

selection() {
    once selection "$PYTHON" -m benchmarks.gpu selection $BENCHMARK
    cp "$OUT/selection.out" "$OUT/selection.md" 2> /dev/null || true
}

training() {
    for MODE in $MODES; do
        once "training-$MODE" "$PYTHON" -m benchmarks.gpu "$MODE" $BENCHMARK
    done
    for MODE in $MODES; do
        if [ -s "$OUT/training-$MODE.out" ]; then
            cat "$OUT/training-$MODE.out" - <<< ""
        fi
    done > "$OUT/training.md"
}

studied() { # NAME WAYS FRACTIONS FLAGS …
    local name=$1 ways=$2 fractions=$3
    shift 3
    once "$name" env DATASET="$DATASET" MODEL="$MODEL" WAYS="$ways" FRACTIONS="${fractions// /,}:$EPOCHS" BATCH=128 \
        SEEDS="$SEEDS" PROXY_EPOCHS="$PROXY_EPOCHS" SAVE_PATH="$OUT/$name" bash bash/study.sh "$@"
}

study() {
    studied study "$WAYS" "$FRACTIONS"
    tabulate study "$OUT/study"
}

precision() {
    mkdir -p "$OUT/study"
    studied precision "$PRECISION_WAYS" "$PRECISION_FRACTIONS" --amp yes
    tabulate precision "$OUT/study" "$OUT/precision"
}

condensation() {
    once condensation env DATASET="$DATASET" METHODS="$METHODS" IPC="$IPC" SEEDS="${SEEDS%% *}" NUM_EVAL="$NUM_EVAL" \
        MODEL=ConvNet SAVE_PATH="$OUT/condensation" bash bash/condense.sh $CONDENSATION
    tabulate condensation "$OUT/condensation"
}

tabulate() { # NAME FOLDER …; the table of what is finished there
    local name=$1
    shift
    if [ -z "$(find "$@" -name summary.json 2> /dev/null)" ]; then
        return
    fi
    "$PYTHON" -m utils.report "$@" > "$OUT/$name.new" 2> /dev/null && mv "$OUT/$name.new" "$OUT/$name.md" || true
}

for PART in $PARTS; do
    "$PART"
done
for PART in $PARTS; do
    if [ -s "$OUT/$PART.md" ]; then
        printf '\n## %s\n\n' "$PART"
        cat "$OUT/$PART.md"
    fi
done
echo
if [ "${#LEFT[@]}" -gt 0 ]; then
    printf 'left for the next call: %s\n' "${LEFT[@]}"
fi
if [ "${#FAILED[@]}" -gt 0 ]; then
    printf 'failed, and tried again by the next call: %s\n' "${FAILED[@]}"
    exit 1
fi
if [ "${#LEFT[@]}" -eq 0 ]; then
    echo "nothing is left"
fi
