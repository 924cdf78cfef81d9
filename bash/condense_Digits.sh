#!/usr/bin/env bash
# Condensed against selected sets of Digits, 1 and 10 images per class: LCMat-C, DC, DSA and DM beside LCMat-S,
# Herding and Uniform, every set evaluated by the same training; one table and one picture, in minutes on two CPU
# cores. bash/condense.sh lists what the environment can override, and SELECTIONS and EPOCHS act too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
export PYTHON JOBS=${JOBS:-2}
source bash/jobs.sh

export DATASET=Digits MODEL=${MODEL:-MLP} IPC=${IPC:-1 10} SEEDS=${SEEDS:-0 1} NUM_EVAL=${NUM_EVAL:-2}
export ITERATIONS=${ITERATIONS:-40} DM_ITERATIONS=${DM_ITERATIONS:-800} OUTER=${OUTER:-10} INNER=${INNER:-10}
export PIXEL_LR=${PIXEL_LR:-0.01 0.5} SAVE_PATH=${SAVE_PATH:-$PWD/result/condense_Digits}
: "${SELECTIONS:=Uniform Herding LCMat}" "${EPOCHS:=1000}"
EVALUATION=(--epochs "$EPOCHS" --batch 256 --lr 0.01 --nesterov no --scheduler StepLR --gamma 0.1
    --step_size $((EPOCHS / 2)) --augmentation color_crop_cutout_scale_rotate --test_interval 0)

FRACTIONS=$(for IMAGES in $IPC; do awk "BEGIN { printf \"%.6f \", $IMAGES * 10 / 1438 }"; done) # of 1,438 images
read -ra FRACTION_LIST <<< "$FRACTIONS"
for SELECTION in $SELECTIONS; do
    for SEED in $SEEDS; do
        COMMAND=("$PYTHON" main.py --dataset Digits --model "$MODEL" --selection "$SELECTION" --seed "$SEED"
            --fraction "${FRACTION_LIST[@]}" --num_eval "$NUM_EVAL" --save_path "$SAVE_PATH")
        if [ "$SELECTION" != Uniform ]; then
            COMMAND+=(-se 10 --selection_batch 32 --selection_lr 0.05)
        fi
        if [[ $SELECTION == LCMat* ]]; then
            COMMAND+=(--eps "$EPS")
        fi
        echo "$SELECTION, seed $SEED" >&2
        start "${COMMAND[@]}" "${EVALUATION[@]}"
    done
done
finish
bash bash/condense.sh "${EVALUATION[@]}" "$@" || FAILED=$?
exit "$FAILED"
