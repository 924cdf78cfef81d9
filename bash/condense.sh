#!/usr/bin/env bash
# Condense one data set, and train networks on the synthetic images. Called by condense_<DATASET>.sh, which set the
# defaults; everything can be overridden from the environment:
#   DATASET DATA_PATH MODEL METHODS IPC ITERATIONS DM_ITERATIONS OUTER INNER PIXEL_LR RHO CURVATURE SEEDS NUM_EVAL
#   SAVE_PATH GPU JOBS
# OUTER, INNER and PIXEL_LR (one value, or one for each of IPC) are for the methods that match gradients. What is not
# set is as published, the training on the synthetic images too. With one image per class LCMat-C matches the Hessian
# diagonal, because the variance of gradients is zero there; with more it matches that variance. CURVATURE overrides it.
# Further arguments go to condense.py. Finished work is skipped. The table of all runs and a picture of their images
# come last.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare

: "${DATASET:?set DATASET, or call one of bash/condense_<DATASET>.sh}"
: "${DATA_PATH:=data}" "${MODEL:=ConvNet}" "${METHODS:=DC DSA DM LCMat}" "${IPC:=1 10}" "${ITERATIONS:=}"
: "${DM_ITERATIONS:=$ITERATIONS}" "${OUTER:=}" "${INNER:=}" "${PIXEL_LR:=}"
: "${SEEDS:=0 1 2 3 4}" "${NUM_EVAL:=20}" "${RHO:=1}" "${CURVATURE:=}" "${SAVE_PATH:=result/condense_$DATASET}"
read -ra RATES <<< "$PIXEL_LR"

source bash/jobs.sh

for SEED in $SEEDS; do
    PLACE=0
    for IMAGES in $IPC; do
        RATE=${RATES[PLACE]:-${RATES[0]:-}}
        PLACE=$((PLACE + 1))
        for METHOD in $METHODS; do
            COMMAND=("$PYTHON" condense.py --dataset "$DATASET" --data_path "$DATA_PATH" --model "$MODEL"
                --method "$METHOD" --ipc "$IMAGES" --seed "$SEED" --num_eval "$NUM_EVAL" --save_path "$SAVE_PATH")
            if [ "$METHOD" = DM ]; then
                COMMAND+=(${DM_ITERATIONS:+--iterations "$DM_ITERATIONS"})
            else
                COMMAND+=(${ITERATIONS:+--iterations "$ITERATIONS"} ${RATE:+--pixel_lr "$RATE"}
                    ${OUTER:+--outer "$OUTER"} ${INNER:+--inner "$INNER"})
            fi
            if [ "$METHOD" = LCMat ]; then
                DEFAULT=$([ "$IMAGES" -eq 1 ] && echo diagonal || echo variance)
                COMMAND+=(--rho "$RHO" --curvature "${CURVATURE:-$DEFAULT}")
            fi
            echo "$METHOD, $IMAGES images per class, seed $SEED" >&2
            start "${COMMAND[@]}" "$@"
        done
    done
done
finish
"$PYTHON" -m utils.report "$SAVE_PATH"
"$PYTHON" -m utils.comparison_sheet "$SAVE_PATH" --output "$SAVE_PATH/images.png"
exit "$FAILED"
