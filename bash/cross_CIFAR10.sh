#!/usr/bin/env bash
# After bash/LCMat_CIFAR10.sh: its coresets on five other networks, and the matrix selecting × trained network.
# DATA_PATH MODEL CROSS FRACTIONS EPOCHS BATCH LR TEST_INTERVAL SAVE_PATH GPU JOBS can be overridden.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare

: "${DATASET:=CIFAR10}" "${DATA_PATH:=data}" "${MODEL:=ResNet18}" "${EPOCHS:=200}" "${BATCH:=128}" "${LR:=0.1}"
: "${CROSS:=VGG16 InceptionV3 ResNet34 WRN168 MobileNetV3Small}" "${FRACTIONS:=0.01 0.1}"
: "${TEST_INTERVAL:=10}" "${SAVE_PATH:=result}"
read -ra CROSS_LIST <<< "$CROSS"
read -ra FRACTION_LIST <<< "$FRACTIONS"
source bash/jobs.sh

COMMAND=("$PYTHON" cross_network_generalization.py --dataset "$DATASET" --data_path "$DATA_PATH" --model "$MODEL"
    --fraction "${FRACTION_LIST[@]}" --epochs "$EPOCHS" --batch "$BATCH" --lr "$LR"
    --test_interval "$TEST_INTERVAL" --save_path "$SAVE_PATH")
for NETWORK in $CROSS; do
    echo "training $NETWORK" >&2
    start "${COMMAND[@]}" --cross "$NETWORK" "$@"
done
finish
[ "$FAILED" -eq 0 ] || exit "$FAILED"
if [ "${#DEVICES[@]}" -gt 0 ]; then
    COMMAND+=(--gpu "${DEVICES[0]}")
fi
exec "${COMMAND[@]}" --cross "${CROSS_LIST[@]}" "$@"  # all of it is there by now: the matrix
