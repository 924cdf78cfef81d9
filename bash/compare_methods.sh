#!/usr/bin/env bash
# Every selection method at a few fractions, three seeds: one table with time and memory, and one plot with a line for
# each method. On Digits by default; everything can be overridden from the environment:
#   DATASET DATA_PATH MODEL METHODS FRACTIONS SEEDS (how many) EPOCHS PROXY_EPOCHS BATCH PROXY_BATCH LR PROXY_LR EPS
#   LABEL_NOISE (0: none) PRUNE (what METHOD-pruned leaves out) TEST_INTERVAL SAVE_PATH GPU JOBS
# Further arguments go to main.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
source bash/jobs.sh

ALL="Uniform LCMat LCMatGC Submodular AdaCore Craig GradMatch Glister Herding kCenterGreedy ContextualDiversity
    LeastConfidence Entropy Margin Cal DeepFool Forgetting GraNd EL2N AUM Loss Confidence DynUnc CCS D2 Moderate
    Prototypicality Uniform-pruned LCMat-pruned Full"
: "${DATASET:=Digits}" "${DATA_PATH:=data}" "${MODEL:=MLP}" "${METHODS:=$ALL}" "${FRACTIONS:=0.01 0.05 0.2}"
: "${SEEDS:=3}" "${EPOCHS:=100}" "${PROXY_EPOCHS:=10}" "${BATCH:=32}" "${LR:=0.05}" "${PROXY_LR:=0.05}"
: "${LABEL_NOISE:=0}" "${PRUNE:=hardest:0.2}" "${PROXY_BATCH:=$BATCH}" "${TEST_INTERVAL:=10}" "${SAVE_PATH:=result/compare_methods}"
read -ra FRACTION_LIST <<< "$FRACTIONS"

for WAY in $METHODS; do
    METHOD=${WAY%-pruned}
    COMMAND=("$PYTHON" main.py --dataset "$DATASET" --data_path "$DATA_PATH" --model "$MODEL"
        --num_exp "$SEEDS" --epochs "$EPOCHS" --batch "$BATCH" --lr "$LR" --test_interval "$TEST_INTERVAL"
        --save_path "$SAVE_PATH")
    case $METHOD in
        LeastConfidence | Entropy | Margin) COMMAND+=(--selection Uncertainty --uncertainty "$METHOD") ;;
        LCMat | LCMatGC) COMMAND+=(--selection "$METHOD" --eps "$EPS") ;;
        *) COMMAND+=(--selection "$METHOD") ;;
    esac
    if [ "$METHOD" != Full ]; then
        COMMAND+=(--fraction "${FRACTION_LIST[@]}")
    fi
    if [ "$WAY" != Full ] && [ "$WAY" != Uniform ]; then
        COMMAND+=(--selection_epochs "$PROXY_EPOCHS" --selection_batch "$PROXY_BATCH" --selection_lr "$PROXY_LR")
    fi
    if [ "$WAY" != "$METHOD" ]; then
        COMMAND+=(--prune "$PRUNE")
    fi
    if [ "$LABEL_NOISE" != 0 ]; then
        COMMAND+=(--label_noise "$LABEL_NOISE")
    fi
    echo "$WAY" >&2
    start "${COMMAND[@]}" "$@"
done
finish
"$PYTHON" -m utils.report "$SAVE_PATH" --time --plot "$SAVE_PATH/accuracy.png"
exit "$FAILED"
