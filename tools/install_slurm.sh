#!/bin/sh
# Install Debian's Slurm for the tests that start a cluster of their own, where that may be done: by root, with apt-get.
# Those tests are skipped where it is missing, so nothing here fails. Called by make test.
set -u
if command -v slurmctld >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then exit 0; fi
echo "Installing Slurm for the tests that need it; once, half a minute." >&2
export DEBIAN_FRONTEND=noninteractive
install_it() {
    apt-get -o DPkg::Lock::Timeout=300 update -qq &&
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
            slurmctld slurmd slurm-client munge
}
said=$(install_it 2>&1) || {
    echo "Slurm cannot be installed; its tests are skipped. apt-get said:" >&2
    echo "$said" | tail -3 >&2
}
