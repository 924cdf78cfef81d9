#!/usr/bin/env bash
# The main job on the images that come with the repository: LCMat against Uniform on Digits, three fractions,
# ten seeds; a table on the screen and a plot under result/quickstart. Minutes on two CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare

export JOBS=${JOBS:-2}
source bash/jobs.sh
OUT=${SAVE_PATH:-result/quickstart}
COMMON=(--dataset Digits --model MLP --fraction 0.01 0.05 0.2 --num_exp 10 --epochs 100 --batch 32 --lr 0.05
    --test_interval 10 --save_path "$OUT")
start "$PYTHON" main.py "${COMMON[@]}" --selection Uniform
start "$PYTHON" main.py "${COMMON[@]}" --selection LCMat --eps "$EPS" --selection_epochs 10 --selection_lr 0.05
finish
"$PYTHON" -m utils.report "$OUT" --plot "$OUT/accuracy.png"
exit "$FAILED"
