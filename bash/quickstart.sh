#!/usr/bin/env bash
# The main job on the images that come with the repository: LCMat against Uniform on Digits, three fractions,
# three seeds; a table on the screen and a plot under result/quickstart. Minutes on two CPU cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare

OUT=result/quickstart
for METHOD in Uniform LCMat; do
    "$PYTHON" main.py --dataset Digits --model MLP --selection "$METHOD" --eps 0.01 \
        --fraction 0.01 0.05 0.2 --num_exp 3 --epochs 100 --batch 32 --lr 0.05 -se 10 --selection_lr 0.05 \
        --test_interval 10 --save_path "$OUT" > /dev/null
done
"$PYTHON" -m utils.report "$OUT" --plot "$OUT/accuracy.png"
