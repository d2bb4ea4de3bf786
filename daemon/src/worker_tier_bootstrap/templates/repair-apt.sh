#!/bin/sh
# repair COMMAND: finishes an interrupted installation; COMMAND installs packages.
# `dpkg --configure -a` refuses a package that was being unpacked, and apt neither configures it nor
# always replaces it. So such a package is unpacked again.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
broken=$(dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' | sed -n 's/^..R //p')
if [ -n "$broken" ]; then
  # The archives on the disk may be incomplete too, so they are downloaded again.
  # shellcheck disable=SC2086 # it is several words
  apt-get -qq download $broken
  dpkg --force-confold --unpack ./*.deb
fi
# A package that lacks a dependency fails here; the next command completes it.
dpkg --force-confold --configure -a || :
"$@" --fix-broken
