#!/usr/bin/env bash
# LCMat-S on ImageNet, 224×224; DATA_PATH holds train/<class>/ and val/<class>/.
export DATASET=ImageNet
exec bash "$(dirname "${BASH_SOURCE[0]}")/sweep.sh" "$@"
