# `make` alone says what there is. Everything installs into this directory, from the lock files, as
# an ordinary user; after the first run nothing needs the network.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PY := .venv/bin/python
CDK := node_modules/.bin/cdk
# Keeps the CDK's command line quiet, offline and out of the home directory.
CDK_ENV := CDK_HOME="$(CURDIR)/.cache/cdk-home" CDK_DISABLE_CLI_TELEMETRY=true \
	JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 \
	AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
# More processes than cores: the suite waits for programs more than it computes. A file stays
# together, for its fixtures deploy stacks; tests/conftest.py has the longest files start first.
PYTEST_ARGS ?= -n 6 --dist loadfile --no-loadscope-reorder
# Byte code is written once and read by every program that a test starts. Where the user's
# environment forbids it, half of the suite's CPU time goes into compiling the same modules anew.
unexport PYTHONDONTWRITEBYTECODE

# A change of a lock file changes the name of its stamp, so the environment is brought up to date.
stamp = $(1)/.installed-$(shell cat $(2) | cksum | tr ' ' '-')
PYTHON_STAMP := $(call stamp,.venv,requirements/dev.txt pyproject.toml daemon/pyproject.toml)
# The demo does with a third of it, so that a first look is not a long wait.
DEMO_STAMP := $(call stamp,.venv,requirements/demo.txt pyproject.toml daemon/pyproject.toml)
LOCAL_AWS_STAMP := $(call stamp,.venv-local-aws,requirements/local-aws.txt)
RELEASE_STAMP := $(call stamp,.venv-release,requirements/release.txt)
CHECKOV_STAMP := $(call stamp,.venv-checkov,requirements/checkov.txt)
DOCS_STAMP := $(call stamp,.venv-docs,requirements/docs.txt)
NODE_STAMP := $(call stamp,node_modules,package-lock.json)
# Without pyright, which only a test needs.
DEMO_NODE_STAMP := $(call stamp,node_modules,package.json package-lock.json)
# What is there for everything else serves the demo too.
FOR_DEMO := $(or $(wildcard $(PYTHON_STAMP)),$(DEMO_STAMP)) $(or $(wildcard $(NODE_STAMP)),$(DEMO_NODE_STAMP))

# Runs $(3), whose output goes to a log, after saying $(1); $(2) is the hint when it fails.
define announce
	@mkdir -p .cache
	@echo "$(1) ..." >&2
	@{ $(3); } >.cache/setup.log 2>&1 || { \
		echo "$(1) failed. $(2) The end of .cache/setup.log:" >&2; \
		tail -n 8 .cache/setup.log | sed 's/^/  /' >&2; exit 1; }
endef

NETWORK := A first run needs the network (PyPI and the npm registry, or the mirrors that pip and npm \
	are configured for); check it and run make again.
# Byte code is made for what is imported, when it is; for all of it, it takes as long as the download.
PIP_INSTALL = -m pip --disable-pip-version-check --retries 3 --timeout 15 install --quiet --no-compile

.PHONY: help demo dev test test-long boot-test boot-images bundle check docs synth template bench reference dist lock clean distclean
.PHONY: environment local-aws checkov docs-environment need-python need-node

help: ## say what there is (the default)
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo "make demo takes APP=path/to/your/app, PORT=8080 and LOCAL_AWS_PORT=4566, all optional."
	@echo "make template takes APP, and TEMPLATE_ARGS='--max 8', for example; --help of it lists them."
	@echo "make test takes PYTEST_ARGS='-k name', for example."

demo: $(FOR_DEMO) local-aws ## deploy to an embedded AWS, run an app and the daemon, show what happens
	@$(PY) -m tools.demo $(if $(APP),--app '$(APP)') $(if $(PORT),--port '$(PORT)') \
		$(if $(LOCAL_AWS_PORT),--local-aws-port '$(LOCAL_AWS_PORT)')

dev: $(FOR_DEMO) local-aws ## run your application behind the daemon: APP=path/to/it, or PORT=3000 where it listens
	@$(PY) -m tools.demo.dev $(if $(APP),--app '$(APP)') $(if $(PORT),--port '$(PORT)') \
		$(if $(HTTP_PATH),--path '$(HTTP_PATH)')

test: environment local-aws checkov $(NODE_STAMP) ## run the tests, but those that take minutes each
	@$(PY) -m pytest -m 'not long' $(PYTEST_ARGS)

test-long: environment local-aws $(NODE_STAMP) ## run those that take minutes each
	@$(PY) -m pytest -m long -n 2 --dist=load

# One process of pytest: it starts the boots itself, BOOT_JOBS at a time.
boot-test: environment local-aws boot-images ## boot real systems with the rendered user data; needs root and systemd-nspawn
	@BOOTSTRAP_REQUIRED=1 $(PY) -m pytest -m boot -rP tests/boot

boot-images: environment ## build the systems that boot-test boots; two minutes, once a week, for every checkout
	@$(PY) -m tests.boot.images

# The code that is not there for tests; sqsd.testing is, though it is other people's tests.
PRODUCTS := daemon/src worker_tier app.py setup.py tools examples
UNCOUNTED := */sqsd/testing/*,*/worker_tier/props.py,*/node_modules/*

# bootstrap.sh has holes; a test checks it as it is rendered.
SCRIPTS := $(filter-out %/bootstrap.sh,$(wildcard daemon/src/worker_tier_bootstrap/templates/*.sh))

# Two runs of mypy on products: the daemon must type-check without sight of the constructs.
check: environment docs ## check format, lint, types, who imports whom, sizes, unused code and the site
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy daemon/src/sqsd daemon/src/worker_tier_bootstrap
	@.venv/bin/mypy worker_tier app.py
	@.venv/bin/mypy tools examples tests
	@.venv/bin/lint-imports --cache-dir .cache/import-linter
	@$(PY) -m tools.sizes
	@.venv/bin/vulture
	@.venv/bin/vulture --exclude '$(UNCOUNTED)' $(PRODUCTS)
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run $(SCRIPTS); \
		elif [ -n "$${CI:-}" ]; then echo "shellcheck is missing; install it" >&2; exit 1; \
		else echo "shellcheck is missing: the shell scripts were not checked"; fi

# Every warning is an error: a link to a page, a heading or a file that does not exist, for one. All
# pages are read each time, for a page that did not change may link to one that did.
docs: docs-environment ## build the site in dist/site; a broken link or any other warning fails
	@.venv-docs/bin/python -m sphinx --builder html --fresh-env --nitpicky --fail-on-warning \
		--keep-going --quiet --doctree-dir .cache/doctrees docs dist/site
	@echo "the site is in dist/site; open dist/site/index.html"

synth: environment $(NODE_STAMP) ## make the templates of app.py and of every example in cdk.out, and validate them
	@rm -rf cdk.out
	@$(CDK_ENV) $(CDK) synth --quiet
	@for app in examples/*/app.py; do \
		grep -q aws_cdk "$$app" || continue; \
		$(CDK_ENV) CDK_VALIDATION=false $(CDK) synth --quiet --app "$(PY) $$app" \
			--output "cdk.out/examples/$$(basename "$$(dirname "$$app")")"; \
	done
	@.venv/bin/cfn-lint --template cdk.out/*.template.json
	@.venv/bin/cfn-lint --template cdk.out/examples/*/*.template.json
	@echo "the templates are in cdk.out; CloudFormation Validate and cfn-lint found nothing"

template: environment ## write a template for people without the CDK, and its archives, in dist/template
	@$(CDK_ENV) $(PY) -m worker_tier.standalone --out dist/template \
		--application '$(or $(APP),examples/node_worker)' $(TEMPLATE_ARGS)

bench: environment ## measure the daemon against others, about half an hour
	@$(PY) -m tools.bench

reference: environment ## write the pages of docs/reference that are generated from the code
	@$(PY) -m tools.reference

dist: environment $(RELEASE_STAMP) ## build, check and try what is published; URL=https://HOST/PATH of the project
	@.venv-release/bin/python -m tools.release --url '$(URL)' $(RELEASE_ARGS)

lock: environment ## bring the lock files up to date with requirements/*.in and package.json
	@for name in synth demo dev local-aws checkov release docs instance; do \
		output=requirements/$$name.txt; [ "$$name" = synth ] && output=requirements.txt; \
		[ "$$name" = instance ] && output=daemon/src/worker_tier_bootstrap/templates/gunicorn.txt; \
		echo "locking $$output ..." >&2; \
		.venv/bin/pip-compile --quiet --allow-unsafe --generate-hashes --strip-extras \
			--no-emit-index-url --no-emit-options --no-emit-trusted-host \
			--output-file="$$output" "requirements/$$name.in"; \
	done
	@npm install --package-lock-only --no-audit --no-fund --silent

bundle: environment ## pin what instances get to what is installed, and pack anew what user data carries
	@$(PY) -m worker_tier_bootstrap.bundle
	@$(PY) -m worker_tier_bootstrap.user_data

clean: ## remove what runs leave behind
	@rm -rf cdk.out build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . \( -name .venv -o -name .venv-release -o -name .venv-local-aws -o -name .venv-checkov -o -name .venv-docs -o -name node_modules \) -prune \
		-o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## ... and the environments, which the next run installs again
	@rm -rf .venv .venv-local-aws .venv-checkov .venv-docs .venv-release node_modules

# ---- environments ---------------------------------------------------------------------------

environment: $(PYTHON_STAMP)
local-aws: $(LOCAL_AWS_STAMP)
checkov: $(CHECKOV_STAMP)
docs-environment: $(DOCS_STAMP)

# The first that runs and is new enough: a version manager's stub may exist and not run.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

need-python:
	@found="$(PYTHON)"; \
	if [ -z "$$found" ] || ! "$$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Python 3.11 or later is needed, found $$("$${found:-python3}" --version 2>/dev/null \
		|| echo "no $${found:-python3}"); install it, or name one that you have:" \
		"make PYTHON=/path/to/python3.12 ..." >&2; exit 1; fi
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing;" \
		"install them (on Debian and Ubuntu the package python3-venv)" >&2; exit 1; }

need-node:
	@found="$$(node --version 2>/dev/null || echo none)"; major="$${found#v}"; major="$${major%%.*}"; \
	if ! [ "$$major" -ge 20 ] 2>/dev/null; then \
		echo "Node.js 22 or later is needed for the CDK (20 still works), found $$found; install it from" \
		"https://nodejs.org or your system's packages" >&2; exit 1; fi
	@command -v npm >/dev/null || { \
		echo "npm is not on PATH; it comes with Node.js, or as your system's package npm" >&2; exit 1; }

$(PYTHON_STAMP): | need-python
	$(call announce,installing the Python environment (about a minute the first time),$(NETWORK),\
		"$(PYTHON)" -m venv .venv && \
		$(PY) $(PIP_INSTALL) --require-hashes -r requirements/dev.txt && \
		$(PY) $(PIP_INSTALL) --no-deps --no-build-isolation -e daemon -e .)
	@rm -f .venv/.installed-*
	@touch $@

$(DEMO_STAMP): | need-python
	$(call announce,installing the Python environment of the demo (half a minute the first time),$(NETWORK),\
		"$(PYTHON)" -m venv .venv && \
		$(PY) $(PIP_INSTALL) --require-hashes -r requirements/demo.txt && \
		$(PY) $(PIP_INSTALL) --no-deps --no-build-isolation -e daemon -e .)
	@touch $@

$(LOCAL_AWS_STAMP): | need-python
	$(call announce,installing the embedded AWS (about ten seconds the first time),$(NETWORK),\
		"$(PYTHON)" -m venv .venv-local-aws && \
		.venv-local-aws/bin/python $(PIP_INSTALL) --require-hashes -r requirements/local-aws.txt)
	@rm -f .venv-local-aws/.installed-*
	@touch $@

$(RELEASE_STAMP): | need-python
	$(call announce,installing what a release needs,$(NETWORK),\
		"$(PYTHON)" -m venv .venv-release && \
		.venv-release/bin/python $(PIP_INSTALL) --require-hashes -r requirements/release.txt)
	@rm -f .venv-release/.installed-*
	@touch $@

$(CHECKOV_STAMP): | need-python
	$(call announce,installing the scanner checkov (about a minute the first time),$(NETWORK),\
		"$(PYTHON)" -m venv .venv-checkov && \
		.venv-checkov/bin/python $(PIP_INSTALL) --require-hashes -r requirements/checkov.txt)
	@rm -f .venv-checkov/.installed-*
	@touch $@

$(DOCS_STAMP): | need-python
	$(call announce,installing what builds the site (half a minute the first time),$(NETWORK),\
		"$(PYTHON)" -m venv .venv-docs && \
		.venv-docs/bin/python $(PIP_INSTALL) --require-hashes -r requirements/docs.txt)
	@rm -f .venv-docs/.installed-*
	@touch $@

$(NODE_STAMP): | need-node
	$(call announce,installing the CDK's command line and pyright (a few seconds the first time),$(NETWORK),\
		npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
	@touch $@

$(DEMO_NODE_STAMP): | need-node
	$(call announce,installing the CDK's command line (a few seconds the first time),$(NETWORK),\
		npm ci --omit=dev --no-audit --no-fund --ignore-scripts --loglevel=error)
	@touch $@
