#!/bin/sh
# A training that was stopped goes on where it was; one that has finished is evaluated again and succeeds.
set -eu
models=${CIFAR_CNN_MODELS:-/app/models}
if [ -e "$models/last.pth" ]; then
  exec cifar-cnn train --resume "$models"
fi
exec cifar-cnn train --out "$models" "$@"
