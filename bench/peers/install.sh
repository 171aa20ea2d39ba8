#!/bin/sh
# Installs the peers of `locmoe bench collectives` from Debian's packages: OpenMPI with its compiler, PyTorch with Gloo.
set -eu
apt-get update
apt-get install --yes --no-install-recommends openmpi-bin libopenmpi-dev gcc libc6-dev python3-torch
