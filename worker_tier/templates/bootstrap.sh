#!/bin/bash
# Makes a fresh instance a worker: fetches the bundle, and lets what is in it do the rest. cloud-init
# runs this once, as root, at the first boot; running it again changes nothing.
set -Eeuo pipefail
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
readonly home=/opt/worker-tier sha256='@BUNDLE_SHA256@'
readonly log=/var/log/worker-tier/bootstrap.log outcome=/run/worker-tier/outcome
readonly instance=@INSTANCE_PATH@ early=@EARLY_PATH@
readonly bundle="$home/bundles/${sha256:0:16}"

# To the file and to cloud-init, which passes it on to the journal and the console; dated in UTC.
mkdir -p "${log%/*}" "${outcome%/*}"
rm -f "$outcome"
exec 3>&1
exec > >(while IFS= read -r line; do
  printf '%(%Y-%m-%dT%H:%M:%SZ)T %s\n' -1 "$line"
done | TZ=UTC tee -a "$log" >&3) 2>&1
writer=$!
export TZ=UTC PYTHONUNBUFFERED=1

step='start'
begin() {
  step=$*
  echo "== $step"
}

finish() {
  local status=$?
  trap - EXIT
  if [ "$status" -eq 0 ]; then
    python3 "$early" signal "$instance" true "$log" ||
      echo 'CloudFormation took no signal; it takes one only while it waits'
    echo '== done: the application answered, and the daemon completed a receive'
  else
    [ -s "$outcome" ] || echo "$step ended with exit code $status" > "$outcome"
    echo "== failed: $(cat "$outcome")"
    # The log is kept by what comes next, so let it be written to its end.
    sleep 0.2
    python3 "$early" signal "$instance" false "$log" || echo 'CloudFormation took no signal'
  fi
  exec >&- 2>&-
  wait "$writer" || :
  exit "$status"
}
trap finish EXIT

# Standard input, less the line break that ends every here-document, becomes the file.
write_file() {
  mkdir -p "${1%/*}"
  head -c -1 > "$1.new"
  chmod 0644 "$1.new"
  mv -f "$1.new" "$1"
}

find_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" > /dev/null &&
      "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# What is not there yet, or a cut network, heals by itself, so this never gives up. But CloudFormation
# and people are told in time when nothing but a cure will help.
fetch_bundle() {
  local pause=2 told=
  until python3 "$early" fetch "$instance" "$bundle.zip" > "$outcome"; do
    echo "$(cat "$outcome"); next try in $pause s"
    if [ -z "$told" ] && [ "$SECONDS" -ge @PATIENCE_SECONDS@ ]; then
      python3 "$early" signal "$instance" false "$log" || :
      told=yes
    fi
    sleep "$pause"
    pause=$((pause * 2 > 3600 ? 3600 : pause * 2))
  done
  rm -f "$outcome"
}

begin 'write the settings'
@FILES@
begin 'find Python 3.11 or later'
if ! python=$(find_python); then
  dnf -y -q install python3.11
  python=$(find_python)
fi
ln -sfn "$python" "$home/python.new"
mv -fT "$home/python.new" "$home/python"

if ! [ -d "$bundle" ]; then
  begin 'fetch the bundle'
  mkdir -p "$home/bundles"
  fetch_bundle
  begin 'unpack the bundle'
  rm -rf "$bundle.new"
  "$home/python" -m zipfile -e "$bundle.zip" "$bundle.new"
  "$home/python" -m compileall -q -j 0 "$bundle.new"
  mv "$bundle.new" "$bundle"
  rm -f "$bundle.zip"
fi
begin 'hand over'
PYTHONPATH=$bundle "$home/python" -P -s -m worker_tier_bootstrap run
