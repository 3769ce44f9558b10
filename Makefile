# Lucet's front door. `make help` lists the targets; `make demo` and `make test` are where to begin.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.NOTPARALLEL: # cargo uses every core itself

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOVERSION := 0
CARGO ?= cargo
CC := gcc
CARGO_FLAGS := --release --locked

REL := target/release
DIST := target/dist
LIB := $(DIST)/lib
PROGRAMS := $(addprefix $(DIST)/bin/,lucetc lucetc-wasi wasm32-unknown-wasi-clang)
HEADERS := $(patsubst include/%,$(DIST)/include/%,$(wildcard include/*.h include/*.hpp))
SO := $(LIB)/liblucet.so.$(VERSION)

.PHONY: all help demo test check deps spec corpus forms hostile fuzz fuzz-artifact bench bench-quick bench-hot bench-nginx bench-deps clean header cdylib

##@ Build
all: dist ## everything, into target/dist/
	@echo "built: $(DIST)/bin/lucetc  $(SO)  $(DIST)/include/lucet.h"

.PHONY: dist
dist: $(SO) $(LIB)/liblucet.a $(PROGRAMS) $(HEADERS)

# Cargo knows best what is out of date, so it is always asked; the files it leaves untouched keep
# their time, and nothing below is done again.
.PHONY: cargo
cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	$(CARGO) build $(CARGO_FLAGS) -p lucet -p lucetc
$(REL)/liblucet.a $(REL)/lucetc: cargo ;

# rustc can make a cdylib, but cannot give it a soname and symbol versions. So the product is linked
# here from the static library: all of it goes in, the version script makes lucet_* global and the
# rest local, and --gc-sections drops what no lucet_* function reaches.
LINK_FLAGS := -shared -Wl,-soname,liblucet.so.$(SOVERSION) \
  -Wl,--version-script=src/capi/liblucet.map -Wl,--no-undefined-version \
  -Wl,--gc-sections -Wl,--no-undefined -Wl,--as-needed \
  -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
$(SO): $(REL)/liblucet.a src/capi/liblucet.map
	@mkdir -p $(LIB)
	$(CC) $(LINK_FLAGS) -o $@ -Wl,--whole-archive $< -Wl,--no-whole-archive -lgcc_s -lm -lc
	@ln -sf $(notdir $@) $(LIB)/liblucet.so.$(SOVERSION)
	@ln -sf liblucet.so.$(SOVERSION) $(LIB)/liblucet.so

$(LIB)/liblucet.a: $(REL)/liblucet.a
	@install -D -m 644 $< $@
$(DIST)/bin/lucetc: $(REL)/lucetc
	@install -D -m 755 $< $@
# lucetc by another name, which it looks at.
$(DIST)/bin/lucetc-wasi: $(DIST)/bin/lucetc
	@ln -sf lucetc $@
$(DIST)/bin/wasm32-unknown-wasi-clang: guest-sdk/wasm32-unknown-wasi-clang
	@install -D -m 755 $< $@
$(DIST)/include/%: include/%
	@install -D -m 644 $< $@

.PHONY: nginx-module
nginx-module: dist ## the module for Debian's nginx, into target/dist/nginx/
	@nginx-module/build
	@echo "built: $(DIST)/nginx/ngx_http_lucet_module.so"

cdylib: ## liblucet as cargo links it, for Rust tools; not the product
	$(CARGO) rustc $(CARGO_FLAGS) -p lucet --lib --crate-type cdylib

header: ## regenerate the headers in include/ from src/capi with cbindgen
	@touch build.rs # so that cargo runs it, whatever it did before
	LUCET_HEADER=1 $(CARGO) build $(CARGO_FLAGS) -p lucet --features header

##@ See it work
demo: deps all ## the main job, end to end, in numbered steps
	@c-examples/demo/run

##@ Test
test: deps all ## every test, then a table of what they prove
	@tests/run

check: deps all ## format, lints, house style, header, advisories
	@tests/check

spec: ## the WebAssembly test suite, with a table per proposal
	@tests/run-spec

corpus: ## compile and load every module in LUCET_CORPUS=DIR
	@tests/run-corpus

# LUCET_FORMS=default compiles each module only as lucetc does without options.
forms: ## the forms of compiled code, counted over the suite (and LUCET_CORPUS=DIR)
	@$(CARGO) test $(CARGO_FLAGS) --workspace --test forms -- --nocapture

hostile: ## artifacts as hostile input: counts of what was tried; FULL=1 for the promised numbers
	@tests/run-hostile

fuzz: ## generated programs beside other engines, hostile input; SECONDS=60, SEED= to repeat
	@echo "building the other engines into target/fuzz-build (minutes, the first time)"
	@cd fuzz && $(CARGO) build $(CARGO_FLAGS) --target-dir ../target/fuzz-build
	@target/fuzz-build/release/lucet-fuzz run --seconds $(or $(SECONDS),60) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

# Counters on every edge, by LLVM's SanitizerCoverage; build scripts and macros go without.
COVERAGE := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Ccodegen-units=1
fuzz-artifact: ## hostile artifacts into the loader, guided by coverage; SECONDS=60, SEED=
	@cd fuzz/artifact && RUSTFLAGS="$(COVERAGE)" $(CARGO) build $(CARGO_FLAGS) \
	  --target x86_64-unknown-linux-gnu --target-dir ../../target/fuzz-artifact
	@target/fuzz-artifact/x86_64-unknown-linux-gnu/release/lucet-fuzz-artifact tests/golden \
	  target/fuzz-artifact/found $(or $(SECONDS),60) $(SEED)

bench-quick: deps all ## what the hot paths cost, and requests beside fork and exec, under a minute
	$(CARGO) bench --locked --workspace --bench quick
	@benches/run-quick

bench: deps bench-deps all ## beside Wasmtime, wasm2c and native code: table, verdicts; ROWS= picks
	@echo "building the peers into target/bench-build (Wasmtime: minutes, the first time)"
	@cd benches/peers && $(CARGO) build $(CARGO_FLAGS) --target-dir ../../target/bench-build
	@$(MAKE) -s -C benches workers
	$(if $(ROWS),,$(CARGO) bench --locked --workspace --bench density)
	@target/bench-build/release/bench target/bench benches/targets.toml $(ROWS)

bench-hot: dist ## what the hot paths cost a C program, in seconds; ROWS="call trap" picks rows
	@$(MAKE) -s -C benches run-hot ROWS="$(ROWS)"

bench-nginx: bench-deps nginx-module ## what a plugin costs in nginx, beside C, njs and Lua
	@nginx-module/bench/run

##@ Housekeeping
deps: ## install the Debian packages that demo and tests need (root), or print how
	@tests/deps

bench-deps: ## the same for what make bench needs: wasm2c, strace, valgrind
	@tests/deps bench

clean: ## remove everything that was built
	rm -rf target

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@printf '\nStart with: make demo\n'
