#!/bin/sh
# worker-tier-bootstrap plan | run
PYTHONPATH=/opt/worker-tier/daemon exec /opt/worker-tier/python -P -s -m worker_tier_bootstrap "$@"
