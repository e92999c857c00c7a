#!/bin/sh
# Installs by apt what a base image lacks of the packages in a file; one that make hub made has them all.
set -eu
missing=
for package in $(cat "$1"); do
    case $package in
    python3*) python3 -c "import ensurepip" 2>/dev/null && continue ;; # the Python image's own is as good as Debian's
    esac
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
    rm -rf /var/lib/apt/lists/*
fi
