# Installing, and what is made of an installed tree: packages and the source tarball. Part of the
# Makefile, which says what belongs to the product (HEADERS, TOOLS).
#
# Installing builds nothing, so that `sudo make install` needs no compiler.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DESTDIR ?=
# `make install STRIP=` keeps debugging information.
STRIP ?= strip

INSTALLED := DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' BINDIR='$(BINDIR)' \
  INCLUDEDIR='$(INCLUDEDIR)' DATADIR='$(DATADIR)' MANDIR='$(MANDIR)' STRIP='$(STRIP)' \
  VERSION='$(VERSION)' SOVERSION='$(SOVERSION)' HEADERS='$(HEADERS)' TOOLS='$(TOOLS)' \
  ALIASES='$(ALIASES)' SCRIPTS='$(SCRIPTS)' DIST='$(DIST)'

.PHONY: install uninstall deb dist

##@ Install
install: ## library, headers, tools, pkg-config, CMake, man pages; DESTDIR= PREFIX= LIBDIR=
	@$(INSTALLED) packaging/install

uninstall: ## removes what `make install` with the same DESTDIR= PREFIX= LIBDIR= put there
	@$(INSTALLED) packaging/install remove

deb: all ## Debian packages, into target/deb/
	@VERSION='$(VERSION)' SOVERSION='$(SOVERSION)' packaging/deb/build target/deb

dist: ## source tarball with all dependencies, which builds offline: target/lucet-VERSION.tar.xz
	@VERSION='$(VERSION)' packaging/tarball
