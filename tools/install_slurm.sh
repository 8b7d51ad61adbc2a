#!/bin/sh
# Install Debian's Slurm for the tests that start a cluster of their own, where that may be done: by root, with apt-get.
# Those tests are skipped where it is missing, so nothing here fails. Called by make test.
set -u
if command -v slurmctld >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then exit 0; fi
echo "Installing Slurm for the tests that need it; once, half a minute." >&2
wait_for_others="-o DPkg::Lock::Timeout=300"
# slurmd and slurmctld start no daemons by themselves where there is no configuration; munge must not either.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# shellcheck disable=SC2086 - two words
if ! { apt-get $wait_for_others update -qq &&
    apt-get $wait_for_others install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge; } \
    >/tmp/install-slurm.$$ 2>&1; then
    echo "Slurm cannot be installed; its tests are skipped. apt-get said:" >&2
    tail -3 /tmp/install-slurm.$$ >&2
fi
rm -f /tmp/install-slurm.$$
