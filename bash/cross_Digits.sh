#!/usr/bin/env bash
# The whole cross matrix of four small networks on Digits, for LCMat and Uniform: each network selects, all are
# trained on what each selected. NETWORKS FRACTION SEEDS (how many) EPOCHS LR SAVE_PATH GPU JOBS can be overridden.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
source bash/jobs.sh

: "${NETWORKS:=MLP LeNet ConvNet MobileNetV3Small}" "${FRACTION:=0.05}" "${SEEDS:=3}" "${EPOCHS:=60}" "${LR:=0.02}"
: "${SAVE_PATH:=result/cross_Digits}"
read -ra NETWORK_LIST <<< "$NETWORKS"
TRAINING=(--dataset Digits --epochs "$EPOCHS" --batch 32 --lr "$LR" --test_interval 0 --save_path "$SAVE_PATH")

for NETWORK in $NETWORKS; do
    echo "LCMat with $NETWORK" >&2
    start "$PYTHON" main.py "${TRAINING[@]}" --model "$NETWORK" --selection LCMat --eps "$EPS" \
        --fraction "$FRACTION" --num_exp "$SEEDS" -se 10 --selection_batch 32 --selection_lr "$LR"
done
echo "Uniform" >&2
start "$PYTHON" main.py "${TRAINING[@]}" --model "${NETWORK_LIST[0]}" --selection Uniform \
    --fraction "$FRACTION" --num_exp "$SEEDS"
finish
for NETWORK in $NETWORKS; do
    echo "training on what $NETWORK selected" >&2
    start "$PYTHON" cross_network_generalization.py "${TRAINING[@]}" --model "$NETWORK" --cross "${NETWORK_LIST[@]}"
done
finish
"$PYTHON" -m utils.report "$SAVE_PATH" --cross --plot "$SAVE_PATH/cross_networks.png"
exit "$FAILED"
