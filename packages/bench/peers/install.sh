#!/bin/sh
# Installs the peers of the benches from Debian: OpenMPI with its compiler, PyTorch with Gloo, and OpenBLAS,
# without which PyTorch multiplies matrices with the slow reference BLAS. torch.compile needs g++ and the headers.
set -eu
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update
$as_root apt-get install --yes --no-install-recommends \
  openmpi-bin libopenmpi-dev gcc libc6-dev python3-torch libopenblas0 g++ libtorch-dev
/usr/bin/python3 -c 'import torch; print("PyTorch", torch.__version__)'
