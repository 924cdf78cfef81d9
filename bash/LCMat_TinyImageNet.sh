#!/usr/bin/env bash
# LCMat-S on TinyImageNet, shrunk to 32×32 as in the authors' code (--im_size 64 for their own size).
export DATASET=TinyImageNet
exec bash "$(dirname "${BASH_SOURCE[0]}")/sweep.sh" "$@"
