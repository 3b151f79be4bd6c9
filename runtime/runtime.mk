# Included by the Makefile at the root.
.PHONY: runtime
runtime: ## build the pinned container runtime into bin/runtime
	@runtime/build.sh
