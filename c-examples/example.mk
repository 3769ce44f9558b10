# What every example's Makefile includes: builds the guests with clang and lucetc, and main.c with
# gcc (main.cpp with g++) against target/dist, everything into target/examples/NAME. `make run` runs
# it.
#
#   GUESTS   sources of the guests (.wat, .c, .cpp), compiled to NAME.so; main gets their paths
#   PROGRAMS further native programs (.c); main gets their paths after the guests'
#   RUN      what `make run` does, if it is more than that

# make's own rules would take libc/new for a program to build from new.cpp.
MAKEFLAGS += --no-builtin-rules

ROOT := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
DIST ?= $(ROOT)/target/dist
NAME := $(notdir $(CURDIR))
OUT ?= $(ROOT)/target/examples/$(NAME)
LUCETC := $(DIST)/bin/lucetc

CC := gcc
CFLAGS ?= -O2 -g
CXX := g++
WARN := -std=c11 -Wall -Wextra -Wpedantic -Werror
CXX_WARN := -std=c++17 -Wall -Wextra -Wpedantic -Werror
LINK := -L$(DIST)/lib -llucet -Wl,-rpath,$(DIST)/lib

include $(ROOT)/c-examples/guests/guest.mk
.DEFAULT_GOAL := all

ARTIFACTS := $(addprefix $(OUT)/,$(addsuffix .so,$(basename $(notdir $(GUESTS)))))
NATIVE := $(addprefix $(OUT)/,$(basename $(notdir $(PROGRAMS))))
vpath %.wat $(sort . $(dir $(GUESTS)))
vpath %.c $(sort . $(dir $(GUESTS)))
vpath %.cpp $(sort . $(dir $(GUESTS)))

.PHONY: all run clean
all: $(OUT)/main $(ARTIFACTS) $(NATIVE)

RUN ?= $(OUT)/main $(ARTIFACTS) $(NATIVE) $(ARGS)
run: all
	@$(RUN)

ifneq ($(wildcard main.cpp),)
$(OUT)/main: main.cpp $(wildcard *.hpp $(DIST)/include/*.hpp $(DIST)/include/lucet/*.hpp) \
             $(DIST)/lib/liblucet.so | $(OUT)
	$(CXX) $(CXX_WARN) $(CFLAGS) -I$(DIST)/include -o $@ $< $(LINK)
else
$(OUT)/main: main.c $(wildcard ../*.h *.h) $(DIST)/include/lucet.h $(DIST)/lib/liblucet.so | $(OUT)
	$(CC) $(WARN) $(CFLAGS) -D_POSIX_C_SOURCE=200809L -I$(DIST)/include -o $@ $< $(LINK)
endif

$(NATIVE): $(OUT)/%: %.c $(wildcard ../guests/*.h) | $(OUT)
	$(CC) $(WARN) $(CFLAGS) -o $@ $<

$(OUT):
	@mkdir -p $@

clean:
	rm -rf $(OUT)
