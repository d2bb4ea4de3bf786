#!/bin/bash
# Turns a fresh instance into a worker. cloud-init runs it once, as root, at the first boot; running it
# again changes nothing. Holes between at signs are filled at synth by worker_tier.bootstrap.
set -Eeuo pipefail
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/aws/bin

readonly region='@REGION@'
readonly stack='@STACK@'
readonly resource='@RESOURCE@'
# true when CloudFormation waits for this instance
readonly awaited='@AWAITED@'
readonly bundle_bucket='@BUNDLE_BUCKET@'
readonly bundle_key='@BUNDLE_KEY@'
readonly bundle_sha256='@BUNDLE_SHA256@'
readonly home=/opt/worker-tier

# cloud-init passes this output on to the journal and the console.
mkdir -p /var/log/worker-tier
exec > >(tee -a /var/log/worker-tier/bootstrap.log) 2>&1

step='starting'

say() {
  printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"
}

begin() {
  step="$*"
  say "begin: $step"
}

# Once the stack has settled, as for an instance that scaling adds, CloudFormation refuses signals.
signal() {
  [ "$awaited" = true ] || return 0
  cfn-signal --success "$1" --reason "$2" --stack "$stack" --resource "$resource" \
    --region "$region" || say "CloudFormation took no signal; it takes one only while it waits"
}

finish() {
  local status=$?
  trap - EXIT
  if [ "$status" -eq 0 ]; then
    signal true 'sqsd has completed a receive'
    say 'done'
  else
    say "failed: $step (exit code $status)"
    signal false "worker-tier bootstrap failed: $step (exit code $status); see /var/log/worker-tier/bootstrap.log on the instance"
  fi
  exit "$status"
}
trap finish EXIT

# Standard input, less the line break that ends every here-document, becomes the file.
write_file() {
  mkdir -p "$(dirname "$1")"
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

fetch_bundle() {
  rm -f "$1"
  aws s3api get-object --region "$region" --bucket "$bundle_bucket" --key "$bundle_key" "$1" \
    > /dev/null && printf '%s  %s\n' "$bundle_sha256" "$1" | sha256sum --check --quiet -
}

# A cut network or a policy that is not there yet heals by itself, so this never gives up.
fetch_bundle_with_patience() {
  local pause=2
  until fetch_bundle "$1"; do
    say "s3://$bundle_bucket/$bundle_key could not be fetched with SHA-256 $bundle_sha256;" \
      "next try in $pause s"
    sleep "$pause"
    pause=$((pause * 2 > 3600 ? 3600 : pause * 2))
  done
}

begin 'install Python 3.11 or later'
if ! python=$(find_python); then
  dnf -y -q install python3.11
  python=$(find_python)
fi
mkdir -p "$home"
ln -sfn "$python" "$home/python"

begin 'fetch the daemon'
fetch_bundle_with_patience "$home/bundle.zip"

begin 'unpack the daemon'
rm -rf "$home/daemon.new"
"$home/python" -m zipfile -e "$home/bundle.zip" "$home/daemon.new"
"$home/python" -m compileall -q "$home/daemon.new"
rm -rf "$home/daemon"
mv "$home/daemon.new" "$home/daemon"

begin 'write the settings'
@FILES@
begin 'start sqsd'
getent passwd sqsd > /dev/null || useradd --system --no-create-home --shell /sbin/nologin sqsd
systemctl daemon-reload
systemctl enable -q sqsd.service
# Returns when the daemon says that it completed a receive, fails when it did not within the unit's
# start time.
if ! systemctl restart sqsd.service; then
  journalctl --no-pager --lines 30 --unit sqsd.service || true
  exit 1
fi
