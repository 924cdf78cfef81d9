#!/usr/bin/env bash
# Learn the classes of one data set step by step, with every memory and both bounds. Called by continual_<DATASET>.sh,
# which set the defaults; everything can be overridden from the environment:
#   DATASET DATA_PATH MODEL STEPS IPC PROTOCOLS SELECTIONS CONDENSATIONS ORDERS SEEDS EPOCHS MEMORY_EPOCHS (of
#   --protocol memory, whose training sets are small) BATCH LR AUGMENTATION
#   PROXY_EPOCHS PROXY_BATCH PROXY_LR EPS ITERATIONS DM_ITERATIONS OUTER INNER PIXEL_LR SAVE_PATH GPU JOBS
# What is not set of a condensation is as published. Further arguments go to continual.py. Finished runs are skipped.
# Ends in the table of all runs and a plot.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
source bash/jobs.sh

: "${DATASET:?set DATASET, or call one of bash/continual_<DATASET>.sh}" "${MODEL:?}" "${EPOCHS:?}"
: "${MEMORY_EPOCHS:=$EPOCHS}" "${DATA_PATH:=data}" "${STEPS:=5}" "${IPC:=20}" "${PROTOCOLS:=memory replay}" "${ORDERS:=0 1 2 3 4}" "${SEEDS:=0}"
: "${SELECTIONS=Uniform Herding Craig LCMat}" "${CONDENSATIONS=DM DSA LCMat}" "${BATCH:=128}" "${LR:=0.1}"
: "${AUGMENTATION:=standard}" "${PROXY_EPOCHS:=10}" "${PROXY_BATCH:=128}" "${PROXY_LR:=0.1}"
: "${ITERATIONS:=}" "${DM_ITERATIONS:=$ITERATIONS}" "${OUTER:=}" "${INNER:=}" "${PIXEL_LR:=}"
: "${SAVE_PATH:=result/continual_$DATASET}"
read -ra ORDER_LIST <<< "$ORDERS"

learn() { # FLAGS …
    COMMAND=("$PYTHON" continual.py --dataset "$DATASET" --data_path "$DATA_PATH" --model "$MODEL" --seed "$SEED"
        --order_seed "${ORDER_LIST[@]}" --batch "$BATCH" --lr "$LR" --augmentation "$AUGMENTATION"
        --save_path "$SAVE_PATH" "$@")
    echo "seed $SEED: $*" >&2
    start "${COMMAND[@]}"
}

for SEED in $SEEDS; do
    for COUNT_OF_STEPS in $STEPS; do
        for BOUND in joint finetune; do
            learn --steps "$COUNT_OF_STEPS" --protocol "$BOUND" --epochs "$EPOCHS" "$@"
        done
        for PROTOCOL in $PROTOCOLS; do
            PASSES=$([ "$PROTOCOL" = memory ] && echo "$MEMORY_EPOCHS" || echo "$EPOCHS")
            for IMAGES in $IPC; do
                SCENARIO=(--steps "$COUNT_OF_STEPS" --protocol "$PROTOCOL" --ipc "$IMAGES" --epochs "$PASSES")
                for SELECTION in $SELECTIONS; do
                    WAY=(--selection "$SELECTION")
                    if [ "$SELECTION" != Uniform ]; then
                        WAY+=(-se "$PROXY_EPOCHS" --selection_batch "$PROXY_BATCH" --selection_lr "$PROXY_LR")
                    fi
                    if [[ $SELECTION == LCMat* ]]; then
                        WAY+=(--eps "$EPS")
                    fi
                    learn "${SCENARIO[@]}" "${WAY[@]}" "$@"
                done
                for METHOD in $CONDENSATIONS; do
                    WAY=(--condensation "$METHOD")
                    if [ "$METHOD" = DM ]; then
                        WAY+=(${DM_ITERATIONS:+--iterations "$DM_ITERATIONS"})
                    else
                        WAY+=(${ITERATIONS:+--iterations "$ITERATIONS"} ${PIXEL_LR:+--pixel_lr "$PIXEL_LR"}
                            ${OUTER:+--outer "$OUTER"} ${INNER:+--inner "$INNER"})
                    fi
                    if [ "$METHOD" = LCMat ]; then # with one image a class the variance of its gradients is zero
                        WAY+=(--curvature "$([ "$IMAGES" -eq 1 ] && echo diagonal || echo variance)")
                    fi
                    learn "${SCENARIO[@]}" "${WAY[@]}" "$@"
                done
            done
        done
    done
done
finish
"$PYTHON" -m utils.report "$SAVE_PATH" --plot "$SAVE_PATH/accuracy.png"
exit "$FAILED"
