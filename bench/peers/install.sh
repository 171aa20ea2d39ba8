#!/bin/sh
# Installs what the peers of the benches need, from Debian: PyTorch with Gloo, and OpenBLAS, without which its matrix
# products are those of the slow reference library.
set -eu
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update
$as_root apt-get install --yes --no-install-recommends python3-torch libopenblas0
/usr/bin/python3 -c 'import torch; print("PyTorch", torch.__version__)'
