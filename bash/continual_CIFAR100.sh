#!/usr/bin/env bash
# CIFAR100 in 5 and in 10 steps, 20 images a class, orders 0 to 4, with a ConvNet: the setting in which condensation
# papers show a memory. bash/continual.sh lists what the environment can override.
export DATASET=CIFAR100 MODEL=${MODEL:-ConvNet} STEPS=${STEPS:-5 10} EPOCHS=${EPOCHS:-100} MEMORY_EPOCHS=${MEMORY_EPOCHS:-1000}
exec bash "$(dirname "${BASH_SOURCE[0]}")/continual.sh" "$@"
