#!/bin/bash
# Makes a fresh instance a worker: fetches the daemon's bundle and runs the bootstrap in it.
# cloud-init runs this once, as root, at the first boot; running it again changes nothing.
set -Eeuo pipefail
umask 022
# Exported before the log's writer is forked, which dates the lines.
export TZ=UTC PYTHONUNBUFFERED=1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
readonly home=/opt/worker-tier sha256='@BUNDLE_SHA256@'
readonly log=/var/log/worker-tier/bootstrap.log outcome=/run/worker-tier/outcome
readonly instance=@INSTANCE_PATH@ early=@EARLY_PATH@
readonly bundle="$home/bundles/${sha256:0:16}"
readonly again=/var/lib/cloud/scripts/per-boot/worker-tier

# To the file and to cloud-init, which passes it on to the journal and the console; dated in UTC.
mkdir -p "${log%/*}" "${outcome%/*}"
rm -f "$outcome"
# Output of builds and hooks is in it. Its rotated copies have its mode.
(umask 077 && : >> "$log")
chmod 0600 "$log"
exec 3>&1
exec > >(while IFS= read -r line; do
  printf '%(%Y-%m-%dT%H:%M:%SZ)T %s\n' -1 "$line"
done | tee -a "$log" >&3) 2>&1
writer=$!

step='start'
begin() {
  step=$*
  echo "== $step"
}

# Only the bootstrap's own end is success: commands of add_user_data may end this script with 0.
# A boot that a shutdown interrupts has not failed; the next boot continues it.
ready=
finish() {
  local status=$?
  trap - EXIT
  if [ -n "$ready" ]; then
    python3 "$early" signal "$instance" true ||
      echo 'CloudFormation took no signal; it takes one only while it waits'
    echo '== done: the application answered, and the daemon completed a receive'
  elif [ "$status" -eq 143 ] || [ "$(systemctl is-system-running 2> /dev/null)" = stopping ]; then
    echo "== interrupted in $step; the next boot goes on with it"
  else
    [ -s "$outcome" ] || echo "$step ended with exit code $status" > "$outcome"
    echo "== failed: $(cat "$outcome")"
    python3 "$early" signal "$instance" false "$log" "$outcome" ||
      echo 'CloudFormation took no signal'
    [ "$status" -ne 0 ] || status=1
  fi
  exec >&- 2>&-
  wait "$writer" || :
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM INT HUP

# write_file PATH MODE: writes standard input without the line break that ends a here-document.
write_file() {
  mkdir -p "${1%/*}"
  rm -f "$1.new"
  (umask 077 && head -c -1 > "$1.new")
  chmod "$2" "$1.new"
  mv -f "$1.new" "$1"
}
# Values that are known at deployment only are in Base64, or they could be JSON or shell.
write_json() {
  mkdir -p "${1%/*}"
  rm -f "$1.new"
  (umask 077 && python3 "$early" plain > "$1.new")
  chmod "$2" "$1.new"
  mv -f "$1.new" "$1"
}
write_packed() {
  mkdir -p "${1%/*}"
  cat > "$1.new"
  mv -f "$1.new" "$1"
}

# Runs a command until it succeeds, for a missing object or a cut network may come back. But a
# failure that lasts is signalled while CloudFormation still waits.
persist() {
  local pause=2 signalled=
  until "$@" > "$outcome" 2>&1; do
    echo "$(cat "$outcome"); next try in $pause s"
    if [ -z "$signalled" ] && [ "$SECONDS" -ge @PATIENCE_SECONDS@ ]; then
      python3 "$early" signal "$instance" false "$log" "$outcome" && signalled=yes
    fi
    sleep "$pause"
    pause=$((pause * 2 > 3600 ? 3600 : pause * 2))
  done
  rm -f "$outcome"
}

find_python() {
  local name
  for name in @PYTHON_NAMES@; do
    if command -v "$name" > /dev/null &&
      "$name" -c 'import sys; sys.exit(sys.version_info < @PYTHON_VERSION@)'; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

begin 'write the settings'
base64 -d <<'END_OF_EARLY' | gzip -dc | write_packed @EARLY_PATH@
@EARLY@END_OF_EARLY
@FILES@
# cloud-init runs user data once, so nothing would continue a boot that a power cut interrupts. Until
# the boot has succeeded, this script is also among those that cloud-init runs at every boot.
if [ -f "$0" ] && ! [ "$0" -ef "$again" ]; then
  mkdir -p "${again%/*}"
  cp "$0" "$home/again"
  chmod 0700 "$home/again"
  # After a power cut a new name may be on the disk without the content that it names.
  sync "$home/again"
  mv -f "$home/again" "$again"
  sync "${again%/*}"
fi

begin 'find Python @PYTHON@ or later'
if ! python=$(find_python); then
  if ! command -v @PACKAGE_MANAGER@ > /dev/null; then
    echo 'this system has no Python @PYTHON@ or later; choose a machine image of one of @SYSTEMS@' > "$outcome"
    exit 1
  fi
  persist @INSTALL_PYTHON@
  python=$(find_python)
fi
ln -sfn "$python" "$home/python.new"
mv -fT "$home/python.new" "$home/python"

if ! [ -d "$bundle" ]; then
  begin 'fetch the bundle'
  mkdir -p "$home/bundles"
  persist python3 "$early" fetch "$instance" "$bundle.zip"
  begin 'unpack the bundle'
  rm -rf "$bundle.new"
  "$home/python" -m zipfile -e "$bundle.zip" "$bundle.new"
  "$home/python" -m compileall -q -j 0 "$bundle.new"
  sync -f "$bundle.new"
  mv "$bundle.new" "$bundle"
fi
rm -f "$bundle.zip"
begin 'hand over'
PYTHONPATH=$bundle "$home/python" -P -s -m worker_tier_bootstrap run
rm -f "$again"
ready=yes
