# One command each: `make run` starts the whole site, `make test` checks it. Nothing is needed but Python, git, make.

# The first of these that is there and can make virtual environments; the site works with Python 3.11 to 3.13.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
BIOME := node_modules/.bin/biome
TSC := node_modules/.bin/tsc
AUDIT := $(VENV)/audit
# Tests mostly wait for processes to start and to end: one more of them than there are processors.
TEST_PROCESSES ?= 3
# $(call install,FOLDER,ARGUMENTS OF PIP INSTALL)
install = @PYTHON='$(subst ','\'',$(PYTHON))' sh deploy/environment.sh $(1) $(2)

# A $ in a setting behind `make run` is a $. Left alone, make takes it for a variable: DATA_DIR=/a$b would be /a.
$(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),\
	$(eval override $(name) := $$(value $(name)))$(eval export $(name))))

.DEFAULT_GOAL := help
.PHONY: help run lint test unit coverage acceptance faults bench bench-peers audit lock clean

help:
	@echo 'make run         start the site (HOST= PORT= DATA_DIR= TRAINER=0 REDIS_URL= …; see docs/reference/settings.md)'
	@echo 'make test        lint and test everything'
	@echo 'make unit        the tests that start no process, while you type'
	@echo 'make coverage    branch coverage of services and ml by unit and integration tests'
	@echo 'make acceptance  the long forms of the tests'
	@echo 'make faults      kill, freeze and fill everything while people use a site; nothing may get lost'
	@echo 'make bench       how fast the site is, and where the time goes (BENCH="--core 0 --load-core 1" …)'
	@echo 'make bench-peers the same model behind other ways of serving, beside this site'
	@echo 'make lint        style, types, templates, migrations, imports, prose'
	@echo 'make lock        pin every package that the requirements lead to, with its hashes'
	@echo 'make audit       ask pip-audit about known faults of what is installed; a report'

# Settings written behind `make run` reach the site through its environment: make exports them.
run: $(VENV)/site.stamp
	@exec $(BIN)/python -m digitsite.supervisor

lint: $(VENV)/tests.stamp node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --check --lint templates
	@if [ -x $(TSC) ]; then $(BIOME) ci --colors=off && $(TSC) --project jsconfig.json; else echo 'no npm or no npm registry: JavaScript and CSS are not checked'; fi
	DATA_DIR=$(VENV)/lint $(BIN)/python manage.py makemigrations --check --dry-run
	DATA_DIR=$(VENV)/lint $(BIN)/python manage.py check
	$(BIN)/lint-imports --no-logo
	DATA_DIR=$(VENV)/lint $(BIN)/mypy
	$(BIN)/python -m digitsite.testing.prose

# A module's tests stay together, for they share what is slow to start; and in their order, for the few long ones would
# else come last and keep one processor waiting.
test: lint $(VENV)/browser.stamp $(VENV)/postgresql.stamp $(VENV)/proxies.stamp $(VENV)/mnist.stamp
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder -m "not acceptance"

# What is tried while typing: no process, no browser, no second database.
unit: $(VENV)/tests.stamp $(VENV)/mnist.stamp
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not acceptance and not postgresql" tests/unit

# Branch coverage by the unit and integration tests, without the processes that they start; measuring it costs time, so `make test` does without.
coverage: $(VENV)/tests.stamp $(VENV)/mnist.stamp
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not acceptance and not postgresql" --cov --cov-report=term tests/unit tests/integration

acceptance: $(VENV)/tests.stamp $(VENV)/browser.stamp $(VENV)/postgresql.stamp $(VENV)/proxies.stamp $(VENV)/mnist.stamp
	$(BIN)/python -m pytest -m acceptance

# SECONDS=180 SEED=… for other lengths, and for the same faults once more.
faults: $(VENV)/tests.stamp $(VENV)/postgresql.stamp
	$(BIN)/python -m tests.e2e.faults $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

# BENCH= takes options of bench.serving and bench.peers; the load generator wrk is a package of Debian and Homebrew.
bench: $(VENV)/tests.stamp $(VENV)/browser.stamp $(VENV)/mnist.stamp
	$(BIN)/python -m bench.serving $(BENCH)

bench-peers: $(PEERS)/peers.stamp $(VENV)/mnist.stamp
	$(PEERS)/bin/python -m bench.peers $(BENCH)

# A report: it needs the internet, and fails nothing. In an environment of its own, for it brings thirty packages.
audit: $(VENV)/tests.stamp $(AUDIT)/audit.stamp
	@$(AUDIT)/bin/pip-audit --progress-spinner off --timeout 15 --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		|| echo 'pip-audit has found something, or could not ask: see above'

# After a change of the requirements. Resolved for Python 3.11 to 3.13 on all systems at once.
lock: | $(VENV)/tests.stamp
	$(call install,$(VENV)/lock,uv==0.13.9)
	@for name in serve site dev; do \
		case $$name in site) source=requirements.txt ;; *) source=requirements-$$name.txt ;; esac; \
		$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-emit-index-url --custom-compile-command 'make lock' $$source --output-file deploy/locks/$$name.txt || exit; \
	done

clean:
	rm -rf $(VENV) $(PEERS) node_modules .pytest_cache .ruff_cache .hypothesis .import_linter_cache .mypy_cache .coverage

# --- What the above stand on; a stamp is renewed when what it was made from changes ---------------------------------

# Missing, or of a Python that was uninstalled: what was installed for it is of no use.
$(BIN)/python:
	@rm -rf $(VENV)

# The locks name every package with the hashes of its files; `make lock` writes them from the requirements.
$(VENV)/site.stamp: deploy/locks/site.txt $(BIN)/python
	@echo 'installing the requirements; this takes a few minutes the first time'
	$(call install,$(VENV),-r deploy/locks/site.txt)
	@touch $@

$(VENV)/tests.stamp: deploy/locks/dev.txt $(BIN)/python
	@echo 'installing the requirements of the tests'
	$(call install,$(VENV),-r deploy/locks/dev.txt)
	@touch $@ $(VENV)/site.stamp

$(VENV)/browser.stamp: $(VENV)/tests.stamp
	@$(BIN)/python -m digitsite.testing.chromium
	@touch $@

# Biome checks JavaScript and CSS, TypeScript the types of JavaScript. `make lint` does without where npm is missing or
# reaches no registry.
node_modules/.package-lock.json: package.json package-lock.json
	-@command -v npm >/dev/null && npm ci --silent --no-audit --no-fund --fetch-retries=1 --fetch-timeout=20000 && touch $@

# Without one the tests of PostgreSQL are left out, and say so.
$(VENV)/postgresql.stamp: $(VENV)/tests.stamp
	@$(BIN)/python -m digitsite.testing.postgresql
	@touch $@

# Likewise for the tests behind nginx and Caddy.
$(VENV)/proxies.stamp: $(VENV)/tests.stamp tests/support/proxies.py
	@$(BIN)/python -m tests.support.proxies
	@touch $@

$(VENV)/mnist.stamp: $(VENV)/tests.stamp
	@echo 'fetching MNIST'
	@$(BIN)/python -m ml.data.mnist
	@touch $@

$(PEERS)/peers.stamp: requirements.txt requirements-serve.txt requirements-dev.txt bench/peers/requirements.txt
	@echo 'installing what the site is compared with, apart from the site itself'
	$(call install,$(PEERS),-r bench/peers/requirements.txt)
	@touch $@

$(AUDIT)/audit.stamp: | $(VENV)/tests.stamp
	$(call install,$(AUDIT),pip-audit==2.10.1)
	@touch $@
