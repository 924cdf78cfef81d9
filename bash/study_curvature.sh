#!/usr/bin/env bash
# What LCMat-C's curvature term is worth: rho = 0, which is DSA, beside the term unscaled, divided by the curvature of
# the real images, and scaled to half of what gradient matching moves the pixels by. One table at the end. bash/condense.sh
# lists what the environment can override. Finished work is skipped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare
export PYTHON
export DATASET=${DATASET:-Digits} MODEL=${MODEL:-MLP} METHODS=LCMat IPC=${IPC:-1 10} SEEDS=${SEEDS:-0 1 2 3}
export ITERATIONS=${ITERATIONS:-20} OUTER=${OUTER:-10} INNER=${INNER:-10} PIXEL_LR=${PIXEL_LR:-0.01 0.5}
export NUM_EVAL=${NUM_EVAL:-2} SAVE_PATH=${SAVE_PATH:-$PWD/result/study_curvature_$DATASET}

RHO=0 bash bash/condense.sh "$@" > /dev/null
for SCALE in none target matching; do
    RHO=1 bash bash/condense.sh --curvature_scale "$SCALE" "$@" > /dev/null
done
"$PYTHON" -m utils.report "$SAVE_PATH"
