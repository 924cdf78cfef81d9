#!/usr/bin/env bash
# LCMat and the methods that came after it, with right labels and with wrong ones: bash/compare_methods.sh once for each
# of NOISES, into one table and one plot. Called by rivals_Digits.sh and rivals_CIFAR10_cpu.sh, which set the defaults;
# everything can be overridden from the environment:
#   NOISES (rates; 0: right labels) BUDGETS (fraction,fraction:epochs …) METHODS, and what compare_methods.sh takes
# Finished runs are skipped, so that it can be stopped and started again. Further arguments go to main.py.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
: "${BUDGETS:?set BUDGETS, or call one of bash/rivals_<DATASET>.sh}" "${SAVE_PATH:?}" "${NOISES:=0 0.2}"
export SAVE_PATH TEST_INTERVAL=${TEST_INTERVAL:-0}
export METHODS=${METHODS:-Uniform Uniform-pruned LCMat LCMat-pruned Herding Moderate Prototypicality Forgetting EL2N AUM
    DynUnc CCS D2}

for NOISE in $NOISES; do
    for BUDGET in $BUDGETS; do
        FRACTIONS=${BUDGET%%:*}
        LABEL_NOISE=$NOISE FRACTIONS=${FRACTIONS//,/ } EPOCHS=${BUDGET##*:} bash bash/compare_methods.sh "$@" > /dev/null
    done
done
"$PYTHON" -m utils.report "$SAVE_PATH" --plot "$SAVE_PATH/accuracy.png"
"$PYTHON" -m utils.report "$SAVE_PATH" --csv > "$SAVE_PATH/table.csv" 2> /dev/null
