# `make help` says what there is. Everything of substance is in scripts/ and tests/run.

.DEFAULT_GOAL := help
.PHONY: help demo test bench build install deps stop clean

# A PGPORT in the environment is some other server's; one given to make is meant.
ifeq ($(origin PGPORT),command line)
export PORT := $(PGPORT)
endif

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '%-14s %s\n' "$$target" "$$text"; done
	@echo
	@echo 'PG_CONFIG=/path/to/pg_config chooses another PostgreSQL (14 to 18).'

demo: ## install what is missing, build, run the main job on a private server (KEEP=1 PORT=N)
	@scripts/demo.sh

test: ## run every test (SUITE=core|fuzz|golden|isolation|e2e|docs|drivers|lint, TEST=name)
	@tests/run

bench: ## measure on a private server, as ratios
	@scripts/bench.sh

build: deps ## build the library and the install script
	@scripts/build.sh

install: build ## install into the PostgreSQL that pg_config names
	@scripts/install.sh

deps: ## install what building needs (Debian)
	@scripts/deps.sh

stop: ## remove the server that `make demo KEEP=1` left
	@scripts/cluster.sh destroy demo

clean: ## remove build/ and the private PostgreSQL (target/ stays: cargo clean)
	@scripts/clean.sh
