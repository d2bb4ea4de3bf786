"""Reads Elastic Beanstalk's source bundles without the CDK: directories and archives.

`assess` returns the bundle's files, its platform, its processes, what `.ebextensions` asks for, and
a finding for each part: it works as in Elastic Beanstalk, it is refused with what to write in its
place, or a warning says what happens instead. `pack` writes the archive that instances fetch. The
constructs and the command line read both.
"""

from worker_tier_bootstrap.assessment.bundle_assessment import Assessment, assess
from worker_tier_bootstrap.assessment.packing import PackedBundle, UnpackableBundle, pack

__all__ = ["Assessment", "PackedBundle", "UnpackableBundle", "assess", "pack"]
