"""What a wheel has besides the package: the archive that instances fetch."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

#: The archive is made of the daemon's sources, which a source distribution brings along.
sys.path.insert(0, str(Path(__file__).resolve().parent / "daemon" / "src"))

from worker_tier_bootstrap.bundle import build_archive


class WithBundle(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout makes it of its sources, each time
            return
        target = Path(self.build_lib, "worker_tier", "_bundle", "daemon.zip")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(build_archive().content)


setup(cmdclass={"build_py": WithBundle})
