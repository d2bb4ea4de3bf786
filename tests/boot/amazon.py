"""Dresses a Debian as Amazon Linux 2023: its name, its package manager, its nginx.

It proves the bootstrap's branch for that system, not Amazon's packages: `dnf` here is a stand-in
that knows Amazon's names only, and installs Debian's packages for them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

_RELEASE: Final = """\
NAME="Amazon Linux"
VERSION="2023"
ID="amzn"
ID_LIKE="fedora"
VERSION_ID="2023"
PLATFORM_ID="platform:al2023"
PRETTY_NAME="Amazon Linux 2023.9.20251117"
"""
#: Amazon's name -> Debian's, or nothing where the image has it already.
_PACKAGES: Final = {
    "nginx": "nginx",
    "logrotate": "logrotate",
    "nftables": "nftables",
    "nodejs22": "nodejs",
    "amazon-cloudwatch-agent": "",
    "python3.11": "",
}
_DNF: Final = """\
#!/bin/bash
# A stand-in for dnf: refuses what dnf refuses, and installs Debian's package of the same thing.
echo "dnf $*" >> /var/log/dnf.calls
[ "$1 $2 $3" = "-y -q install" ] || {{ echo "a question nobody answers: $*" >&2; exit 1; }}
shift 3
names=()
for name in "$@"; do
  case $name in
{cases}
    *) echo "Error: Unable to find a match: $name" >&2; exit 1 ;;
  esac
  echo "$name" >> /var/lib/rpm.names
done
if [ "${{#names[@]}}" -gt 0 ]; then
  /usr/lib/hidden/apt-get -qq update &&
    DEBIAN_FRONTEND=noninteractive /usr/lib/hidden/apt-get -qq -y --no-install-recommends \\
      install "${{names[@]}}" < /dev/null || exit 1
fi
if [ -d /etc/nginx/sites-enabled ]; then
  rm -rf /etc/nginx/sites-enabled /etc/nginx/sites-available
  id nginx > /dev/null 2>&1 || useradd -r -s /sbin/nologin nginx
  systemctl disable -q nginx
fi
case " $* " in *" python3.11 "*) ln -sf /usr/lib/hidden/python3.11 /usr/bin/python3.11 ;; esac
case " $* " in *" amazon-cloudwatch-agent "*)
  mkdir -p /opt/aws/amazon-cloudwatch-agent/bin
  printf '#!/bin/sh\\necho "$*" >> /var/log/agent.calls\\n' \\
    > /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl
  chmod 755 /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl ;;
esac
exit 0
"""
_RPM: Final = """\
#!/bin/bash
# A stand-in for rpm: names what the stand-in for dnf installed.
[ "$1" = -qa ] || exit 1
sort -u /var/lib/rpm.names 2> /dev/null | sed 's/^/ii  /'
"""
_OLD_PYTHON: Final = """\
#!/bin/sh
# Python 3.9, by what it says of itself.
case "$*" in *version_info*) exit 1 ;; esac
exec /usr/lib/hidden/python3.11 "$@"
"""
#: rpm packages start no service.
_POLICY: Final = "#!/bin/sh\nexit 101\n"


def dress(root: Path) -> None:
    """Change a fresh disk, in place."""
    release = root / "etc/os-release"
    release.unlink()
    _write(release, _RELEASE, 0o644)
    hidden = root / "usr/lib/hidden"
    hidden.mkdir()
    # Its Python is too old for the daemon. This image's own, which cloud-init runs by, becomes one
    # that says so; a newer one comes by dnf.
    for name in ("apt", "apt-get", "python3.11"):
        shutil.move(root / "usr/bin" / name, hidden / name)
    (root / "usr/bin/python3").unlink()
    (root / "usr/bin/python3").symlink_to("/usr/lib/hidden/python3.11")
    _write(root / "usr/local/bin/python3", _OLD_PYTHON, 0o755)
    cases = "\n".join(
        f"    {name}) {f'names+=({package})' if package else ':'} ;;"
        for name, package in _PACKAGES.items()
    )
    _write(root / "usr/bin/dnf", _DNF.format(cases=cases), 0o755)
    _write(root / "usr/bin/rpm", _RPM, 0o755)
    _write(root / "usr/sbin/policy-rc.d", _POLICY, 0o755)


def _write(path: Path, text: str, mode: int) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
