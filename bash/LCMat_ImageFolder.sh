#!/usr/bin/env bash
# LCMat-S on your own images: DATA_PATH=<folder> with train/<class>/ and test/<class>/ (or val/).
: "${DATA_PATH:?set DATA_PATH to a folder with train/<class>/ and test/<class>/ in it}"
export DATASET=ImageFolder DATA_PATH
exec bash "$(dirname "${BASH_SOURCE[0]}")/sweep.sh" "$@"
