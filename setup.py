"""Adds to a wheel what it has besides the package: the daemon's bundle, which instances fetch."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

#: The bundle is built from the daemon's sources, which a source distribution contains. It imports
#: nothing but the standard library, so a build needs no installed package of ours.
sys.path.insert(0, str(Path(__file__).resolve().parent / "daemon" / "src"))

from worker_tier_bootstrap.bundle import build_archive


class WithBundle(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout builds it from its sources, each time
            return
        target = Path(self.build_lib, "worker_tier", "_bundle", "daemon.zip")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(build_archive().content)


setup(cmdclass={"build_py": WithBundle})
