"""Turns an instance into a worker: packages, application, units, until they are ready.

User data fetches this package with the daemon and runs it. It needs nothing but the standard
library and `sqsd.contract`, and no network except for AWS, the package mirror and what the
application's own build downloads.
"""
