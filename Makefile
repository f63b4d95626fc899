# eice: tunnels and SSH through EC2 Instance Connect Endpoints.
# GNU make.  All output goes under build/; "make help" lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= 2
BEARSSL_SRC ?=
LIBSSH2_SRC ?=
export BEARSSL_SRC LIBSSH2_SRC

.DELETE_ON_ERROR:
.SUFFIXES:

all: build/eice ## the static program (default)

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | \
	    expand -t 20

# --- flavours ---------------------------------------------------------------
# Everything compiled lands in build/FLAVOUR/.  musl is what is shipped; the
# others serve the tests.

FLAVOURS = musl native asan tsan

CC_musl ?= musl-gcc
AR_musl ?= gcc-ar
CFLAGS_musl ?= -Os -flto -ffunction-sections -fdata-sections \
    -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-pic -fno-pie
LDFLAGS_musl ?= -Os -flto -static -no-pie -s \
    -Wl,--gc-sections,--build-id=none,-z,noseparate-code

CC_native ?= gcc
AR_native ?= ar
CFLAGS_native ?= -O2 -g
LDFLAGS_native ?=

CC_asan ?= gcc
AR_asan ?= ar
CFLAGS_asan ?= -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer
LDFLAGS_asan ?= -fsanitize=address,undefined

CC_tsan ?= gcc
AR_tsan ?= ar
CFLAGS_tsan ?= -O1 -g -fsanitize=thread
LDFLAGS_tsan ?= -fsanitize=thread

# --- our own code -----------------------------------------------------------

WARNINGS = -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion \
    -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wundef \
    -Wvla -Wimplicit-fallthrough -Wwrite-strings
INCLUDES = -I. -Ibuild/deps -isystem build/deps/include
CLI_C = $(wildcard tools/eice/*.c)
CLI_H = $(wildcard tools/eice/*.h) eice.h build/deps/versions.h

build/eice: build/musl/eice
	cp $< $@

define PROGRAM
build/$(1)/obj/%.o: tools/eice/%.c $$(CLI_H) Makefile
	@mkdir -p $$(@D)
	$$(CC_$(1)) $$(WARNINGS) $$(CFLAGS_$(1)) $$(INCLUDES) -c $$< -o $$@

build/$(1)/eice: $$(CLI_C:tools/eice/%.c=build/$(1)/obj/%.o) \
    build/$(1)/libssh2.a build/$(1)/libbearssl.a
	$$(CC_$(1)) $$(LDFLAGS_$(1)) $$^ -o $$@
endef
$(foreach f,$(FLAVOURS),$(eval $(call PROGRAM,$(f))))

install: build/eice ## install into $(DESTDIR)$(PREFIX)/bin
	install -D -m 755 build/eice $(DESTDIR)$(PREFIX)/bin/eice

# --- dependencies -----------------------------------------------------------

deps: deps-tls deps-ssh ## fetch and build BearSSL and libssh2

deps-tls: $(FLAVOURS:%=build/%/libbearssl.a)

deps-ssh: $(FLAVOURS:%=build/%/libssh2.a)

packages: ## install the Debian packages needed to build
	tools/deps/packages build

packages-test: ## install the Debian packages needed to test
	tools/deps/packages build test

# Rewritten only when the choice of trees changes.
build/deps/choice: FORCE
	@mkdir -p $(@D)
	@echo '$(BEARSSL_SRC) $(LIBSSH2_SRC)' | cmp -s - $@ || \
	    echo '$(BEARSSL_SRC) $(LIBSSH2_SRC)' >$@

build/deps/versions.h: tools/deps/fetch build/deps/choice \
    $(wildcard tools/libssh2-bearssl/patches/*)
	tools/deps/fetch

FORCE:

# Compiles sources ($(3), found under build/deps/src/$(2)) into one archive.
# The objects live in a directory of this process: two makes at once do no
# harm to each other.
define ARCHIVE
	@mkdir -p $(@D)/$(2).$$$$ && cd $(@D)/$(2).$$$$ && \
	echo "$(1): $(2)" && \
	find $(3) | LC_ALL=C sort | xargs -n 16 -P $(JOBS) \
	    $(CC_$(1)) $(CFLAGS_$(1)) $(4) -c && \
	rm -f new.a && $(AR_$(1)) rcs new.a *.o && mv new.a ../../../$@ && \
	cd .. && rm -rf $(2).$$$$
endef

BEARSSL = $(CURDIR)/build/deps/src/bearssl
BEARSSL_FIND = $(BEARSSL)/src -name '*.c'

build/%/libbearssl.a: build/deps/versions.h
	$(call ARCHIVE,$*,bearssl,$(BEARSSL_FIND),-I$(BEARSSL)/inc -I$(BEARSSL)/src)

# libssh2's core without its crypto backends (ours is tools/libssh2-bearssl),
# its agent and its reading of private keys.
LIBSSH2 = $(CURDIR)/build/deps/src/libssh2
BACKEND = $(CURDIR)/tools/libssh2-bearssl
LIBSSH2_FIND = $(LIBSSH2)/src $(BACKEND) -name '*.c' $(foreach n, \
    crypto openssl libgcrypt mbedtls wincng os400qc3 agent agent_win pem \
    bcrypt_pbkdf blowfish, ! -name $(n).c)
LIBSSH2_FLAGS = -DHAVE_CONFIG_H -DLIBSSH2_MBEDTLS -DLIBSSH2_MBEDTLS_H \
    -include $(BACKEND)/libssh2_bearssl.h -I$(BACKEND) \
    -I$(LIBSSH2)/src -I$(LIBSSH2)/include \
    -isystem $(CURDIR)/build/deps/include

build/%/libssh2.a: build/deps/versions.h $(wildcard tools/libssh2-bearssl/*.[ch])
	$(call ARCHIVE,$*,libssh2,$(LIBSSH2_FIND),$(LIBSSH2_FLAGS))

# --- tests ------------------------------------------------------------------

# --- housekeeping -----------------------------------------------------------

clean: ## remove what was compiled, keep the fetched sources
	rm -rf build/eice $(FLAVOURS:%=build/%)

distclean: ## remove build/
	rm -rf build

.PHONY: all help install deps deps-tls deps-ssh packages packages-test clean \
    distclean FORCE
