#!/usr/bin/env bash
# The losses of LCMat's, Craig's and Uniform's coresets of CIFAR-10 around a ResNet8 that was trained on all of it: a
# figure and its numbers in minutes on two CPU cores. IMAGES names a folder of train/<class>/* and test/<class>/*;
# without it CIFAR10 is downloaded. RUNS names folders of finished runs, whose coresets are looked at; without it they
# are selected now. The network is the proxy of bash/study_CIFAR10_cpu.sh, and is found where that has run. The
# environment can override RUNS SELECTIONS FRACTION SEED SAMPLE (images that the full set's loss is estimated by) POINTS
# RADIUS PROXY_EPOCHS PROXY_BATCH PROXY_LR EPS SAVE_PATH. Further arguments go to landscape.py; what was measured is kept.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
prepare

: "${MODEL:=ResNet8}" "${SELECTIONS:=LCMat Craig Uniform}" "${FRACTION:=0.01}" "${SEED:=0}" "${SAMPLE:=2000}"
: "${POINTS:=21}" "${RADIUS:=0.4}" "${PROXY_EPOCHS:=10}" "${PROXY_BATCH:=128}" "${PROXY_LR:=0.1}"
: "${SAVE_PATH:=$PWD/result/study_CIFAR10}" "${RUNS:=}"
COMMAND=("$PYTHON" landscape.py --model "$MODEL" --seed "$SEED" --points "$POINTS" --radius "$RADIUS" --images "$SAMPLE"
    -se "$PROXY_EPOCHS" --selection_batch "$PROXY_BATCH" --selection_lr "$PROXY_LR" -sti 0 --save_path "$SAVE_PATH")
if [ -n "${IMAGES:-}" ]; then
    COMMAND+=(--dataset ImageFolder --data_path "$IMAGES")
else
    COMMAND+=(--dataset CIFAR10 --data_path "${DATA_PATH:-data}")
fi
if [ -n "$RUNS" ]; then
    COMMAND+=(--runs $RUNS)
else
    COMMAND+=(--selection $SELECTIONS --eps "$EPS" --fraction "$FRACTION")
fi
exec "${COMMAND[@]}" "$@"
