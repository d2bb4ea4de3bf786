"""Adds what pyproject.toml cannot say: the version, and the daemon's bundle for instances."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

#: The bundle is built from the daemon's sources, which a source distribution contains. It imports
#: nothing but the standard library, so a build needs no installed package of ours.
sys.path.insert(0, str(Path(__file__).resolve().parent / "daemon" / "src"))

from sqsd import __version__
from worker_tier_bootstrap.bundle import build_archive

#: The daemon is a dependency, not a copy: the constructs read its contract and pack its files for
#: instances, so its version must be the same. `make dist` tries the oldest CDK and the newest.
REQUIREMENTS = [
    "aws-cdk-lib>=2.252.0,<3",
    "constructs>=10.0.0,<11",
    "jsii>=1.100,<2",
    f"worker-tier-daemon=={__version__}",
]


class WithBundle(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout builds it from its sources, each time
            return
        target = Path(self.build_lib, "worker_tier", "_bundle", "daemon.zip")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(build_archive().content)


setup(version=__version__, install_requires=REQUIREMENTS, cmdclass={"build_py": WithBundle})
