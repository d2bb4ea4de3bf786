"""What a wheel has besides the package: the archive that instances fetch."""

import sys
import types
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


class WithBundle(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout makes it of its sources, each time
            return
        target = Path(self.build_lib, "worker_tier", "_bundle", "daemon.zip")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_archive())


def _archive() -> bytes:
    """By the package's own module, without the package: its `__init__` would start the CDK."""
    bare = types.ModuleType("worker_tier")
    bare.__path__ = [str(HERE / "worker_tier")]
    sys.modules["worker_tier"] = bare
    daemon = HERE / "daemon" / "src"
    if daemon.is_dir():
        sys.path.insert(0, str(daemon))
    from worker_tier.assets import build_archive

    return build_archive().content


setup(cmdclass={"build_py": WithBundle})
