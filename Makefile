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
# liblucet as one archive, before its symbols are chosen.
ARCHIVE := target/product/liblucet.a
DIST := target/dist
LIB := $(DIST)/lib
SO := $(LIB)/liblucet.so.$(VERSION)

# What the product consists of besides the library: headers; what cargo builds of which packages;
# tools by another name, which they look at; scripts of guest-sdk.
HEADERS := $(patsubst include/%,%,$(wildcard include/*.h include/*.hpp include/lucet/*.hpp))
PACKAGES := lucet lucetc
TOOLS := lucetc lucet-wasi lucet-http
ALIASES := lucetc-wasi
SCRIPTS := wasm32-unknown-wasi-clang

.PHONY: all help demo test check deps spec corpus corpus-wasi forms hostile guards fuzz \
  fuzz-artifact bench bench-quick bench-hot bench-nginx bench-deps clean header cdylib size abi-baseline

##@ Build
all: product ## everything, into target/dist/
	@echo "built: $(DIST)/bin/lucetc  $(SO)  $(DIST)/include/lucet.h"

.PHONY: product
product: $(SO) $(LIB)/liblucet.a $(HEADERS:%=$(DIST)/include/%) $(DIST)/share/man/.made
product: $(addprefix $(DIST)/bin/,$(TOOLS) $(ALIASES) $(SCRIPTS))

# Cargo knows best what is out of date, so it is always asked; the files it leaves untouched keep
# their time, and nothing below is done again.
.PHONY: cargo
cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	$(CARGO) build $(CARGO_FLAGS) $(PACKAGES:%=-p %)
	$(CARGO) rustc --locked --profile product -p lucet --lib --crate-type staticlib
$(ARCHIVE) $(TOOLS:%=$(REL)/%): cargo ;

# rustc can make a cdylib, but cannot give it a soname and symbol versions. So the product is linked
# here from the static library: all of it goes in, the version script makes lucet_* global and the
# rest local, and --gc-sections drops what no lucet_* function reaches.
LINK_FLAGS := -shared -Wl,-soname,liblucet.so.$(SOVERSION) \
  -Wl,--version-script=src/capi/liblucet.map -Wl,--no-undefined-version \
  -Wl,--gc-sections -Wl,--no-undefined -Wl,--as-needed \
  -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
$(SO): $(ARCHIVE) src/capi/liblucet.map
	@mkdir -p $(LIB)
	$(CC) $(LINK_FLAGS) -o $@ -Wl,--whole-archive $< -Wl,--no-whole-archive -lgcc_s -lm -lc
	@ln -sf $(notdir $@) $(LIB)/liblucet.so.$(SOVERSION)
	@ln -sf liblucet.so.$(SOVERSION) $(LIB)/liblucet.so

# The static library is one object with the same symbols as the shared one: what no lucet_* function
# reaches is dropped, and everything else is local, so that it meets neither another library that
# is written in Rust nor a symbol of the program.
$(LIB)/liblucet.a: $(ARCHIVE) src/capi/liblucet.map
	@mkdir -p $(LIB)
	@sed -nE 's/^ *(lucet_[a-z0-9_]+);$$/\1/p' src/capi/liblucet.map >$(LIB)/.symbols
	ld -r --gc-sections $$(sed 's/^/-u /' $(LIB)/.symbols) -o $(LIB)/.lucet.o $<
	objcopy -R .llvmbc -R .llvmcmd --keep-global-symbols=$(LIB)/.symbols $(LIB)/.lucet.o
	@rm -f $@
	@cd $(LIB) && mv .lucet.o lucet.o && ar rcsD liblucet.a lucet.o && rm lucet.o .symbols

$(TOOLS:%=$(DIST)/bin/%): $(DIST)/bin/%: $(REL)/%
	@install -D -m 755 $< $@
$(DIST)/bin/lucetc-wasi: $(DIST)/bin/lucetc
	@ln -sf lucetc $@
$(SCRIPTS:%=$(DIST)/bin/%): $(DIST)/bin/%: guest-sdk/%
	@install -D -m 755 $< $@
$(DIST)/include/%: include/%
	@install -D -m 644 $< $@

# Pages of section 3 are made from the header; the others are written.
$(DIST)/share/man/.made: docs/man/generate $(wildcard docs/man/*.[17]) $(HEADERS:%=include/%)
	@docs/man/generate $(VERSION) $(DIST)/share/man $(filter %.h,$(HEADERS:%=include/%))
	@touch $@

.PHONY: nginx-module
nginx-module: product ## the module for Debian's nginx, into target/dist/nginx/
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

corpus-wasi: all ## run every WASI program in LUCET_CORPUS=DIR and compare what it prints
	@tests/run-corpus-wasi

# LUCET_FORMS=default compiles each module only as lucetc does without options.
forms: ## the forms of compiled code, counted over the suite (and LUCET_CORPUS=DIR)
	@$(CARGO) test $(CARGO_FLAGS) --workspace --test forms -- --nocapture

hostile: ## artifacts as hostile input: counts of what was tried; FULL=1 for the promised numbers
	@tests/run-hostile

guards: ## takes the guards out one by one and sees their tests fail; GUARDS="name name"
	@tests/run-guards $(GUARDS)

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

bench-hot: product ## what the hot paths cost a C program, in seconds; ROWS="call trap" picks rows
	@$(MAKE) -s -C benches run-hot ROWS="$(ROWS)"

bench-nginx: bench-deps nginx-module ## what a plugin costs in nginx, beside C, njs and Lua
	@nginx-module/bench/run

size: product ## what liblucet.so consists of, by crate
	@benches/size $(SO)

include packaging/install.mk

##@ Housekeeping
abi-baseline: all ## makes the present ABI the one that make check compares with: for a release
	@tests/abi/update

deps: ## install the Debian packages that demo and tests need (root), or print how
	@tests/deps

bench-deps: ## the same for what make bench needs: wasm2c, strace, valgrind
	@tests/deps bench

clean: ## remove everything that was built
	rm -rf target

help: ## this list
	@sed -e '/^include packaging\/install.mk/ { r packaging/install.mk' -e 'd }' Makefile | \
	  awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }'
	@printf '\nStart with: make demo\n'
