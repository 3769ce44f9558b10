# From a guest's source to an artifact: clang and wasm-ld make .wasm, lucetc makes .so.
# Wants ROOT, OUT and LUCETC; POLICY and LUCETC_FLAGS are optional.

GUEST_DIR := $(ROOT)/c-examples/guests
GUEST_CLANG ?= clang
GUEST_LD ?= wasm-ld
GUEST_FLAGS := --target=wasm32 -O2 -nostdlib -ffreestanding -Wall -Wextra -Werror \
  -isystem $(GUEST_DIR)/libc -I$(GUEST_DIR)
# C++ headers come from libc/ here; -idirafter finds header-only libraries that Debian installed.
GUEST_CXX := -std=c++17 -fno-exceptions -fno-rtti -fno-threadsafe-statics -nostdinc++ \
  -idirafter /usr/include
# The stack comes first in memory, so that overflowing it is a trap and not a damaged variable.
GUEST_LDFLAGS := --no-entry --stack-first -z stack-size=65536

LUCETC_RUN = $(LUCETC) $< -o $@ $(if $(POLICY),--policy $(POLICY)) $(LUCETC_FLAGS)
# The same inside an object, to be linked into the program.
LUCETC_OBJ = $(LUCETC_RUN) --emit obj
GUEST_LIBC := $(OUT)/obj/libc.o $(OUT)/obj/new.o

$(OUT)/obj:
	@mkdir -p $@

$(OUT)/obj/libc.o: $(GUEST_DIR)/libc/libc.c | $(OUT)/obj
	$(GUEST_CLANG) $(GUEST_FLAGS) -std=c11 -fno-builtin -c $< -o $@

$(OUT)/obj/new.o: $(GUEST_DIR)/libc/new.cpp | $(OUT)/obj
	$(GUEST_CLANG) $(GUEST_FLAGS) $(GUEST_CXX) -c $< -o $@

$(OUT)/obj/%.guest.o: %.c $(wildcard $(GUEST_DIR)/*.h $(GUEST_DIR)/libc/*) | $(OUT)/obj
	$(GUEST_CLANG) $(GUEST_FLAGS) -std=c11 -c $< -o $@

$(OUT)/obj/%.guest.o: %.cpp $(wildcard $(GUEST_DIR)/*.h $(GUEST_DIR)/libc/*) | $(OUT)/obj
	$(GUEST_CLANG) $(GUEST_FLAGS) $(GUEST_CXX) -c $< -o $@

$(OUT)/%.wasm: $(OUT)/obj/%.guest.o $(GUEST_LIBC)
	$(GUEST_LD) $(GUEST_LDFLAGS) $^ -o $@

$(OUT)/%.so: $(OUT)/%.wasm $(LUCETC) $(POLICY)
	$(LUCETC_RUN)

$(OUT)/%.so: %.wat $(LUCETC) $(POLICY) | $(OUT)
	$(LUCETC_RUN)

$(OUT)/%.o: $(OUT)/%.wasm $(LUCETC) $(POLICY)
	$(LUCETC_OBJ)

$(OUT)/%.o: %.wat $(LUCETC) $(POLICY) | $(OUT)
	$(LUCETC_OBJ)

$(LUCETC):
	@echo "$(LUCETC) is missing: run 'make' at the top of the repository first" >&2; exit 1

.SECONDARY:
