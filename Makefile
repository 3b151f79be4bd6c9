# One command per task. HACKING.md says when to use which.

GO      ?= go
BIN     := bin
RUNTIME := $(BIN)/runtime
LDFLAGS := -s -w

.PHONY: all build runtime images up down test lint bench conformance vm differential scheduling schemas sim fuzz clean

all: build

# The binary, and the pinned container runtime beside it.
build: runtime
	@echo "building $(BIN)/skiff"
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/skiff .

# containerd, its shim and runc from their modules, and our small helpers.
runtime:
	@runtime/build.sh $(RUNTIME)
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(RUNTIME)/ ./cmd/...

# The sample application's images, without Docker or a registry.
images: build
	@echo "building the sample application's images"
	@$(GO) run ./samples/build -o $(BIN)/images

# A cluster on this machine with the sample application on it.
up: build images
	@samples/up.sh

down:
	@$(BIN)/skiff down --purge

# Everything that CI runs, those on a real cluster included.
test:
	@test/setup.sh
	@$(MAKE) --no-print-directory images
	@test/run.sh

lint:
	@$(GO) vet ./...
	@$(GO) test ./internal/...

# Start, memory, requests and pods beside their physical limits; PEERS=1 adds upstream.
bench: build images
	@cd bench && $(GO) run . $(if $(PEERS),-peers)

# Upstream's API server beside Skiff's: where do their answers differ? STORIES=1
# compares the controllers and schedulers.
differential:
	@cd test/differential && $(GO) run . -seeds $(or $(SEEDS),1..20) -kind '$(KIND)' -verb '$(VERB)' -case '$(CASE)' -ignore '$(IGNORE)' $(if $(STORIES),-stories)

# Upstream's scheduler beside Skiff's, rule by rule, on SEEDS random clusters.
scheduling:
	@cd test/differential/scheduler && $(GO) test -count 1 -run Decisions -v . -seeds $(or $(SEEDS),300)

# The schemas that our OpenAPI documents are made of, from upstream's.
schemas:
	@cd test/differential && $(GO) run . -schemas ../../apiserver/openapi/schemas.json.gz

# Upstream's conformance suite: FOCUS and SKIP are regular expressions, PROCS the
# tests at once, NODES the cluster's nodes. The first time builds for half an hour.
conformance: build
	@$(GO) run ./test/conformance $(if $(FOCUS),-focus '$(FOCUS)') $(if $(SKIP),-skip '$(SKIP)') \
		$(if $(PROCS),-procs $(PROCS)) $(if $(NODES),-nodes $(NODES)) $(if $(NAME),-name $(NAME)) $(if $(OUTPUT),-output $(OUTPUT))

# A cluster in a virtual machine with Debian's kernel, cgroup v2 and systemd: CHECK is a
# regular expression of what to check.
vm: images
	@test/setup.sh vm
	@test/vm/run.sh '$(CHECK)'

# Whole clusters on virtual time: with faults by seed, and stories of users with each
# write disturbed in each way. SEEDS=1..1000, or one, for seeds alone; ORDERS=0..9,
# or one, for stories alone.
sim:
ifndef ORDERS
	@$(GO) test ./sim -run TestSeeds -count=1 -timeout 0 -v -args -seeds $(or $(SEEDS),1..200)
endif
ifndef SEEDS
	@$(GO) test ./sim -run TestStories -count=1 -timeout 0 -args -all -orders $(or $(ORDERS),0..1)
endif

fuzz:
	@test/fuzz.sh $(or $(TIME),30s)

clean:
	@rm -rf $(BIN)
