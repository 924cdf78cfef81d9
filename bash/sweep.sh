#!/usr/bin/env bash
# The paper's recipe on one data set. Called by LCMat_<DATASET>.sh, which set the defaults; everything can be
# overridden from the environment:
#   DATASET DATA_PATH MODEL SELECTIONS FRACTIONS SEEDS EPOCHS PROXY_EPOCHS BATCH LR EPS TEST_INTERVAL SAVE_PATH GPU JOBS
# GPU=0,1 deals the runs to these devices, JOBS (all in all) at a time, one on each at least. Further arguments go to
# main.py. Finished runs are skipped; the table of all runs comes last.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare

: "${DATASET:?set DATASET, or call one of bash/LCMat_<DATASET>.sh}"
: "${DATA_PATH:=data}" "${MODEL:=ResNet18}" "${SELECTIONS:=LCMat}" "${SEEDS:=0 1 2}"
: "${FRACTIONS:=0.001 0.005 0.01 0.05 0.1 0.2 0.3}" "${EPOCHS:=200}" "${PROXY_EPOCHS:=10}" "${BATCH:=128}"
: "${LR:=0.1}" "${TEST_INTERVAL:=10}" "${SAVE_PATH:=result}"
read -ra FRACTION_LIST <<< "$FRACTIONS"

source bash/jobs.sh

for SEED in $SEEDS; do
    for SELECTION in $SELECTIONS; do
        COMMAND=("$PYTHON" main.py --dataset "$DATASET" --data_path "$DATA_PATH" --model "$MODEL"
            --selection "$SELECTION" --fraction "${FRACTION_LIST[@]}" --seed "$SEED" --epochs "$EPOCHS"
            -se "$PROXY_EPOCHS" --optimizer SGD --lr "$LR" --batch "$BATCH" --test_interval "$TEST_INTERVAL"
            --save_path "$SAVE_PATH")
        if [[ $SELECTION == LCMat* ]]; then
            COMMAND+=(--eps "$EPS")
        fi
        echo "$SELECTION, seed $SEED" >&2
        start "${COMMAND[@]}" "$@"
    done
done
finish
"$PYTHON" -m utils.report "$SAVE_PATH"
exit "$FAILED"
