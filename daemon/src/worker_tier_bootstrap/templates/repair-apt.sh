#!/bin/sh
# repair COMMAND, which installs packages: finishes what one that was killed had begun.
# `dpkg --configure -a` refuses a package that was being unpacked, and apt neither configures nor
# always replaces one: so it is unpacked again.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
broken=$(dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' | sed -n 's/^..R //p')
if [ -n "$broken" ]; then
  # The archives at hand may be as incomplete as the installation.
  # shellcheck disable=SC2086 # it is several words
  apt-get -qq download $broken
  dpkg --force-confold --unpack ./*.deb
fi
# What lacks a dependency fails here, and is completed by the next command.
dpkg --force-confold --configure -a || :
"$@" --fix-broken
