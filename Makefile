# The verbs. Each is a module in tools/; `make` alone lists them.
STACK ?= dev
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUN := $(PY) -m tools.

.DEFAULT_GOAL := help
.PHONY: help up down preview refresh plan render cluster cluster-down images image train run jobs stop logs open status secret \
	unprotect env backend validate move test test-all bench check docs lock

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

# --- the stack -------------------------------------------------------------------------------------
up: $(VENV)/.program ## Bring the stack up; on dev makes cluster and images first
	@$(RUN)prepare --stack $(STACK)
	@$(RUN)up --stack $(STACK)

preview: $(VENV)/.program ## Show what `up` would change
	@$(RUN)preview --stack $(STACK)

refresh: $(VENV)/.program ## Compare the state with what is really there
	@$(RUN)refresh --stack $(STACK)

down: $(VENV)/.program ## Say what will be lost, ask, take the stack down (FORCE=<stack> for scripts)
	@$(RUN)down --stack $(STACK)

unprotect: $(VENV)/.program ## Say what could be lost, ask, release the protection against deletion
	@$(RUN)unprotect --stack $(STACK)

plan: $(VENV)/.program ## Show every resource offline; OUT=f.json writes them
	@$(RUN)plan --stack $(STACK) $(if $(OUT),--out $(OUT))

render: $(VENV)/.program ## Write the Kubernetes part as YAML to OUT=dir
	@$(RUN)render --stack $(STACK) --out $(or $(OUT),$(error say where: make render OUT=dir))

secret: $(VENV)/.program ## Store a secret from standard input: GROUP= NAME= KEY=
	@$(RUN)secret --stack $(STACK) --group '$(GROUP)' --name '$(NAME)' --key '$(KEY)'

env: $(VENV)/.program ## Print the exports with which a plain `pulumi` works on the same state
	@$(RUN)env --stack $(STACK)

validate: $(VENV)/.program ## Check the stack file, then its manifests and network policies on the cluster
	@$(RUN)validate --stack $(STACK)

backend: $(VENV)/.program ## Make the shared state's bucket and key in the stack's cloud, once; print the login
	@$(RUN)backend --stack $(STACK)

move: $(VENV)/.program ## Copy all experiments into another, empty stack: FROM=dev TO=aws
	@$(RUN)move --from '$(FROM)' --to '$(or $(TO),$(error say where: make move FROM=dev TO=aws))'

# --- the dev stack's cluster and images ------------------------------------------------------------
cluster: $(VENV)/.program ## Find or make a cluster for the dev stack
	@$(RUN)prepare --stack $(STACK) --only cluster

cluster-down: $(VENV)/.program ## Remove the cluster that `make cluster` made
	@$(RUN)cluster down

images: $(VENV)/.program ## Build the images and put them onto the cluster's nodes
	@$(RUN)prepare --stack $(STACK) --only images

image: $(VENV)/.program ## Build a job image with a project's committed code and requirements: PROJECT=dir
	@$(RUN)image --stack $(STACK) --project '$(PROJECT)'

# --- using it --------------------------------------------------------------------------------------
train: $(VENV)/.program ## Run examples/quickstart as a pod, or with FROM=here on this machine
	@$(RUN)train --stack $(STACK) $(if $(FROM),--from $(FROM)) $(if $(PROJECT),--project $(PROJECT)) \
		$(foreach p,$(PARAMS),--param $(p))

run: $(VENV)/.program ## Run a job or pipeline and follow it: JOB=name PARAMS="alpha=0.3" REF=branch|tag|sha DETACH=1
	@$(RUN)run --stack $(STACK) --job '$(JOB)' $(foreach p,$(PARAMS),--param '$(p)') \
		$(if $(REF),--ref '$(REF)') $(if $(DETACH),--detach)

jobs: $(VENV)/.program ## The jobs and pipelines, their last runs and results, links to MLflow
	@$(RUN)jobs --stack $(STACK)

stop: $(VENV)/.program ## End what runs of a job or pipeline: JOB=name
	@$(RUN)stop --stack $(STACK) --job '$(JOB)'

status: $(VENV)/.program ## What is up, versions, addresses
	@$(RUN)status --stack $(STACK)

logs: $(VENV)/.program ## The server's log; PART=database|migration|model-watch, JOB=name a job or service, FOLLOW=1
	@$(RUN)logs --stack $(STACK) $(if $(JOB),--job $(JOB)) $(if $(PART),--part $(PART)) $(if $(FOLLOW),--follow)

open: $(VENV)/.program ## Forward a local port to the server and print the address
	@$(RUN)open --stack $(STACK)

# --- checks ----------------------------------------------------------------------------------------
test: $(VENV)/.dev ## Every fast test, the core of the slow ones and a seeded sample
	@$(RUN)test

test-all: $(VENV)/.dev ## Every test; TIER=unit|program|emulators|engine|cluster for one tier
	@$(RUN)test --all $(if $(TIER),--tier $(TIER))

check: $(VENV)/.dev ## Lint, types, and that generated docs are fresh
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/pyright && $(RUN)docs --check

docs: $(VENV)/.dev ## Write the generated pages of docs/ anew: settings, schema, drawings of stacks
	@$(RUN)docs

bench: $(VENV)/.dev ## Measure, and write docs/performance.md
	@$(RUN)bench

# --- packages --------------------------------------------------------------------------------------
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	@echo "… making the virtual environment" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.program: requirements.txt | $(VENV)/bin/python
	@echo "… installing the program's packages (hash-checked)" >&2
	@$(PY) -m pip install --quiet --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.program
	@echo "… installing the packages of tests and checks (hash-checked)" >&2
	@$(PY) -m pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

LOCK := $(VENV)/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header \
	--python-version 3.11 --universal --upgrade
lock: $(VENV)/.dev ## Resolve all packages anew and write the locks with their hashes
	@$(LOCK) pyproject.toml -o requirements.txt
	@$(LOCK) pyproject.toml --group dev -o requirements-dev.txt
	@$(RUN)images --lock
