#!/usr/bin/env bash
# How LCMat should look at the loss: every scoring, the released code, graph cut and rivals, each with the same proxies
# and the same training. Called by study_Digits.sh and study_CIFAR10_cpu.sh, which set the defaults; everything can be
# overridden from the environment:
#   DATASET DATA_PATH MODEL WAYS FRACTIONS (fraction,fraction:epochs …) SEEDS NUM_EXP (seeds from each of
#   SEEDS on) PROXY_EPOCHS PROXY_BATCH PROXY_LR BATCH LR EPS AUGMENTATION SAVE_PATH GPU JOBS
# Finished runs are skipped, so that a study can be shared out over several days. Ends in the table, the differences
# from Uniform seed by seed, and a plot of each. Further arguments go to main.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
source bash/jobs.sh

ALL="Uniform LCMat LCMat-evaluation LCMat-class_batches LCMat-released LCMatGC LCMatGC-evaluation LCMatGC-class_batches
    GraphCut Herding Craig GradMatch"
: "${DATASET:?set DATASET, or call one of bash/study_<DATASET>.sh}" "${MODEL:?}" "${FRACTIONS:?}"
: "${DATA_PATH:=data}" "${WAYS:=$ALL}" "${SEEDS:=0 1 2 3 4}" "${NUM_EXP:=1}" "${PROXY_EPOCHS:=10}" "${PROXY_BATCH:=128}"
: "${PROXY_LR:=0.1}" "${BATCH:=64}" "${LR:=0.1}" "${AUGMENTATION:=standard}"
: "${SAVE_PATH:=result/study_$DATASET}"

for PAIR in $FRACTIONS; do
    IFS=, read -ra FRACTION_LIST <<< "${PAIR%%:*}"
    for SEED in $SEEDS; do
        for WAY in $WAYS; do
            COMMAND=("$PYTHON" main.py --dataset "$DATASET" --data_path "$DATA_PATH" --model "$MODEL" --seed "$SEED"
                --num_exp "$NUM_EXP" --fraction "${FRACTION_LIST[@]}" --epochs "${PAIR##*:}" --batch "$BATCH" --lr "$LR" --test_interval 0
                --augmentation "$AUGMENTATION" --save_path "$SAVE_PATH")
            if [ "$WAY" != Uniform ]; then
                COMMAND+=(-se "$PROXY_EPOCHS" --selection_batch "$PROXY_BATCH" --selection_lr "$PROXY_LR" -sti 0)
            fi
            case $WAY in
                LCMat | LCMatGC) COMMAND+=(--selection "$WAY" --eps "$EPS") ;;
                LCMat-released) COMMAND+=(--selection LCMat --eps "$EPS" --released) ;;
                LCMat-* | LCMatGC-*) COMMAND+=(--selection "${WAY%%-*}" --eps "$EPS" --scoring "${WAY##*-}") ;;
                GraphCut) COMMAND+=(--selection Submodular --submodular GraphCut --kernel cosine) ;;
                *) COMMAND+=(--selection "$WAY") ;;
            esac
            echo "$WAY, fractions ${PAIR%%:*}, seed $SEED" >&2
            start "${COMMAND[@]}" "$@"
        done
    done
done
finish
"$PYTHON" -m utils.report "$SAVE_PATH" --plot "$SAVE_PATH/accuracy.png"
echo
"$PYTHON" -m utils.report "$SAVE_PATH" --against Uniform --plot "$SAVE_PATH/differences.png"
exit "$FAILED"
