# eice: tunnels and SSH through EC2 Instance Connect Endpoints.
# GNU make.  All output goes under build/; "make help" lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= 2
BEARSSL_SRC ?=
LIBSSH2_SRC ?=
export BEARSSL_SRC LIBSSH2_SRC
# sshd, Dropbear and dnsmasq are where an ordinary user's PATH does not lead.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.DELETE_ON_ERROR:
.SUFFIXES:

all: build/eice ## the static program (default)

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | \
	    expand -t 20

# --- flavours ---------------------------------------------------------------
# Everything compiled lands in build/FLAVOUR/.  musl is what is shipped; the
# others serve the tests.  stock is native with libssh2 as it is released.

FLAVOURS = musl native asan tsan stock
DEPS_FOR ?= musl native asan

# Without the passes that -Oz has and that make this program larger; found by
# trying each: 5 kB.  The ciphers are as fast as with them.
SMALLER = -fno-jump-tables -fno-tree-dominator-opts -fno-tree-tail-merge \
    -fno-tree-loop-ivcanon -fno-inline-functions-called-once \
    -fsplit-wide-types-early -fno-shrink-wrap -fno-caller-saves \
    -fno-partial-inlining -fno-schedule-insns2 \
    $(if $(filter x86_64,$(shell uname -m)),-malign-data=abi)

CC_musl ?= musl-gcc
AR_musl ?= gcc-ar
CFLAGS_musl ?= -Oz -flto=auto -ffunction-sections -fdata-sections $(SMALLER) \
    -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-pic -fno-pie
# The common page size saves the file up to 4 kB of padding before its data.
LDFLAGS_musl ?= -Oz -flto=auto -flto-partition=one -static -no-pie -s \
    -Wl,--gc-sections,--build-id=none,-z,noseparate-code,-z,norelro \
    -Wl,-z,common-page-size=512

LIBC_musl = $(patsubst tools/musl/%.c,build/musl/libc/%.o, \
    $(wildcard tools/musl/*.c))

CC_native ?= gcc
AR_native ?= ar
CFLAGS_native ?= -O2 -g
LDFLAGS_native ?=

CC_asan ?= gcc
AR_asan ?= ar
CFLAGS_asan ?= -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer
LDFLAGS_asan ?= -fsanitize=address,undefined

CC_stock ?= gcc
AR_stock ?= ar
CFLAGS_stock ?= -O1 -g
LDFLAGS_stock ?=

CC_tsan ?= gcc
AR_tsan ?= ar
CFLAGS_tsan ?= -O1 -g -fsanitize=thread
LDFLAGS_tsan ?= -fsanitize=thread

# --- our own code -----------------------------------------------------------

WARNINGS = -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion \
    -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wundef \
    -Wvla -Wimplicit-fallthrough -Wwrite-strings
# Of a flavour: where its libssh2 is, and how to include it.
DEPS_OF = build/deps$(if $(filter stock,$(1)),/stock)
DEPS_H = -isystem $(DEPS_OF)/include -isystem build/deps/include
CLI_C = $(wildcard tools/eice/*.c)
CLI_H = $(wildcard tools/eice/*.h) eice.h

build/eice: build/musl/eice
	cp $< $@.new && mv $@.new $@

tunnel: build/tunnel ## the smallest program: a tunnel, without SSH

build/tunnel: examples/06_small_tunnel.c eice.h Makefile build/musl/flags \
    $(LIBC_musl) build/musl/libbearssl.a
	@echo "musl: $<"
	@$(CC_musl) $(WARNINGS) $(CFLAGS_musl) $(LDFLAGS_musl) -D_GNU_SOURCE -I. \
	    $(DEPS_H) $< $(LIBC_musl) build/musl/libbearssl.a -o $@

define PROGRAM
build/$(1)/obj/%.o: tools/eice/%.c $$(CLI_H) $(DEPS_OF)/versions.h \
    build/$(1)/flags Makefile
	@mkdir -p $$(@D)
	@echo "$(1): $$<"
	@$$(CC_$(1)) $$(WARNINGS) $$(CFLAGS_$(1)) -I. -I$(DEPS_OF) $(DEPS_H) \
	    -c $$< -o $$@

build/$(1)/eice: $$(CLI_C:tools/eice/%.c=build/$(1)/obj/%.o) \
    $$(LIBC_$(1)) build/$(1)/libssh2.a build/$(1)/libbearssl.a
	@echo "$(1): $$@"
	@$$(CC_$(1)) $$(LDFLAGS_$(1)) $$^ -o $$@
endef
$(foreach f,$(FLAVOURS),$(eval $(call PROGRAM,$(f))))

# Smaller pieces of the C library.  Not as part of the whole that -flto sees:
# there the compiler takes such names for what it knows already.
build/musl/libc/%.o: tools/musl/%.c build/musl/flags Makefile
	@mkdir -p $(@D)
	@echo "musl: $<"
	@$(CC_musl) $(WARNINGS) $(CFLAGS_musl) -fno-lto -fno-builtin \
	    -D_GNU_SOURCE -c $< -o $@

install: build/eice ## install the program and its page under PREFIX
	install -D -m 755 build/eice $(DESTDIR)$(PREFIX)/bin/eice
	install -D -m 644 tools/eice/eice.1 \
	    $(DESTDIR)$(PREFIX)/share/man/man1/eice.1

# --- dependencies -----------------------------------------------------------

deps: deps-tls deps-ssh ## fetch and build BearSSL and libssh2

deps-tls: $(DEPS_FOR:%=build/%/libbearssl.a)

deps-ssh: $(DEPS_FOR:%=build/%/libssh2.a)

packages: ## install the Debian packages needed to build
	tools/deps/packages build

packages-demo: ## install the Debian packages the demo needs
	@tools/deps/packages build demo

packages-test: ## install the Debian packages needed to test
	@tools/deps/packages build demo test

# Rewritten only when the choice of trees changes.
build/deps/choice: FORCE
	@mkdir -p $(@D)
	@echo '$(BEARSSL_SRC) $(LIBSSH2_SRC)' | cmp -s - $@ || \
	    echo '$(BEARSSL_SRC) $(LIBSSH2_SRC)' >$@

build/deps/versions.h: tools/deps/fetch build/deps/choice \
    $(wildcard tools/libssh2-bearssl/patches/*)
	tools/deps/fetch

build/deps/stock/versions.h: build/deps/versions.h
	@tools/deps/fetch stock

FORCE:

# Not touched when the tree stays: then nothing is compiled again.
build/deps/src/bearssl.version build/deps/src/libssh2.version: \
    build/deps/versions.h
	@test -f $@ || tools/deps/fetch

build/deps/stock/src/libssh2.version: build/deps/stock/versions.h
	@test -f $@ || tools/deps/fetch stock

# What the archives of a flavour are made with; rewritten only when it changes.
$(FLAVOURS:%=build/%/flags): build/%/flags: FORCE
	@mkdir -p $(@D)
	@echo "$(CC_$*) $(CFLAGS_$*) $(BEARSSL_FIND) $(LIBSSH2_FIND)" \
	    "$(LIBSSH2_FLAGS)" >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

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

# BearSSL, with the choice of its defaults in tools/bearssl.
BEARSSL = $(CURDIR)/build/deps/src/bearssl
BEARSSL_OURS = $(CURDIR)/tools/bearssl
BEARSSL_FIND = $(BEARSSL)/src $(BEARSSL_OURS) -name '*.c' $(foreach n, \
    ec_default rsa_default_pub rsa_default_priv rsa_default_pkcs1_vrfy \
    rsa_default_pkcs1_sign rsa_default_keygen poly1305_ctmulq, \
    ! -name $(n).c)

build/%/libbearssl.a: build/%/flags build/deps/src/bearssl.version \
    $(wildcard tools/bearssl/*.c)
	$(call ARCHIVE,$*,bearssl,$(BEARSSL_FIND),-I$(BEARSSL)/inc -I$(BEARSSL)/src)

# libssh2's core without its crypto backends and its ChaCha20 (ours are in
# tools/libssh2-bearssl), its agent and its reading of private keys.
LIBSSH2 = $(CURDIR)/build/deps/src/libssh2
BACKEND = $(CURDIR)/tools/libssh2-bearssl
LIBSSH2_FIND = $(LIBSSH2)/src $(BACKEND) -name '*.c' $(foreach n, \
    crypto openssl libgcrypt mbedtls wincng os400qc3 agent agent_win pem \
    bcrypt_pbkdf blowfish chacha, ! -name $(n).c)
LIBSSH2_FLAGS = -DHAVE_CONFIG_H -DLIBSSH2_MBEDTLS -DLIBSSH2_MBEDTLS_H \
    -include $(BACKEND)/libssh2_bearssl.h -I$(BACKEND) \
    -I$(LIBSSH2)/src -I$(LIBSSH2)/include \
    -isystem $(CURDIR)/build/deps/include

build/%/libssh2.a: build/%/flags build/deps/src/libssh2.version \
    $(wildcard tools/libssh2-bearssl/*.[ch])
	$(call ARCHIVE,$*,libssh2,$(LIBSSH2_FIND),$(LIBSSH2_FLAGS))

build/stock/libssh2.a: private LIBSSH2 = $(CURDIR)/build/deps/stock/src/libssh2
build/stock/libssh2.a: build/stock/flags build/deps/stock/src/libssh2.version \
    $(wildcard tools/libssh2-bearssl/*.[ch])
	$(call ARCHIVE,stock,libssh2,$(LIBSSH2_FIND),$(LIBSSH2_FLAGS))

build/stock/libbearssl.a: build/native/libbearssl.a
	@cp $< $@

# --- tests ------------------------------------------------------------------

# Every test in C is compiled twice, plain and with sanitizers; tests/run.py
# knows what to run.  EICE_VECTORS names the directory of the big sets of test
# vectors; without it the tests that need them are skipped.

PYTHON ?= /usr/bin/python3
ONLY ?=
T ?= 60

TEST_FLAGS = $(WARNINGS) -Werror -D_GNU_SOURCE -I. -Itests $(DEPS_H) -Wl,-z,now
TEST_FLAGS_native = -O1 -g
TEST_FLAGS_stock = $(TEST_FLAGS_native)
TEST_FLAGS_asan = -O0 -g -fsanitize=address,undefined \
    -fno-sanitize-recover=all

TEST_H = eice.h Makefile $(wildcard tests/*.h)
TEST_C = $(filter-out tests/test_backend.c,$(wildcard tests/*.c))
TESTS = $(filter test_%,$(TEST_C:tests/%.c=%)) test_backend \
    test_backend_portable
NATIVE_HELPERS = cred_dump crypto_helper ct_ed25519 ssh_kex
ASAN_HELPERS = $(filter-out test_% $(NATIVE_HELPERS),$(TEST_C:tests/%.c=%))
FUZZ_C = $(wildcard tests/fuzz/fuzz_*.c)
EXAMPLES_C = $(wildcard examples/*.c)

# The backend's test is compiled as libssh2's own files are, with and without
# the processor's AES instructions, and linked with OpenSSL's libcrypto.
BACKEND_TEST = -DLIBSSH2_WARN_SIGN_CONVERSION \
    $(patsubst -I$(LIBSSH2)/%,-isystem $(LIBSSH2)/%, \
    $(filter-out -include $(BACKEND)/libssh2_bearssl.h,$(LIBSSH2_FLAGS)))

define COMPILE_TESTS
build/tests/$(1)/libs: build/$(1)/libssh2.a build/$(1)/libbearssl.a
	@mkdir -p $$(@D)
	@touch $$@

$$(TEST_C:tests/%.c=build/tests/$(1)/%): build/tests/$(1)/%: tests/%.c \
    $$(TEST_H) build/tests/$(1)/libs
	@echo "$(1): $$<"
	@$$(CC_$(1)) $$(call TEST_FLAGS,$(1)) $$(TEST_FLAGS_$(1)) $$< \
	    build/$(1)/libssh2.a build/$(1)/libbearssl.a -o $$@

build/tests/$(1)/test_doctor: $$(CLI_C) $$(CLI_H)

build/tests/$(1)/test_backend build/tests/$(1)/test_backend_portable: \
    tests/test_backend.c $$(wildcard tools/libssh2-bearssl/*.[ch]) \
    $$(TEST_H) build/tests/$(1)/libs
	@echo "$(1): $$(@F)"
	@$$(CC_$(1)) $$(call TEST_FLAGS,$(1)) $$(TEST_FLAGS_$(1)) $$(BACKEND_TEST) \
	    $$(if $$(findstring portable,$$@),-DBACKEND_PORTABLE) \
	    $$< build/$(1)/libssh2.a build/$(1)/libbearssl.a -lcrypto -o $$@

$$(FUZZ_C:tests/fuzz/%.c=build/tests/$(1)/%): build/tests/$(1)/%: \
    tests/fuzz/%.c tests/fuzz/replay.c $$(TEST_H) build/tests/$(1)/libs
	@echo "$(1): $$<"
	@$$(CC_$(1)) $$(call TEST_FLAGS,$(1)) $$(TEST_FLAGS_$(1)) $$< tests/fuzz/replay.c \
	    build/$(1)/libssh2.a build/$(1)/libbearssl.a -o $$@

$$(EXAMPLES_C:examples/%.c=build/examples/$(1)/%): build/examples/$(1)/%: \
    examples/%.c eice.h Makefile build/tests/$(1)/libs
	@mkdir -p $$(@D)
	@echo "$(1): $$<"
	@$$(CC_$(1)) $$(call TEST_FLAGS,$(1)) $$(TEST_FLAGS_$(1)) $$< \
	    build/$(1)/libssh2.a build/$(1)/libbearssl.a -o $$@
endef
$(foreach f,native asan stock,$(eval $(call COMPILE_TESTS,$(f))))

# Tests run in both flavours; the other side of a Python driver has sanitizers,
# but for NATIVE_HELPERS (NATIVE in tests/run.py), which would take too long.
TEST_PROGRAMS = build/eice build/tunnel build/asan/eice build/tsan/libssh2.a \
    build/tsan/libbearssl.a $(TESTS:%=build/tests/native/%) \
    $(TESTS:%=build/tests/asan/%) $(NATIVE_HELPERS:%=build/tests/native/%) \
    build/tests/native/ssh_session $(ASAN_HELPERS:%=build/tests/asan/%) \
    build/tests/stock/ssh_session build/stock/eice \
    $(EXAMPLES_C:examples/%.c=build/examples/asan/%) \
    $(FUZZ_C:tests/fuzz/%.c=build/tests/asan/%)

test-programs: $(TEST_PROGRAMS) ## build what `make test` runs

# What did not build is reported by run.py as failed.
test: packages-test ## build everything, run all tests (10 minutes; ONLY=WORD)
	@echo "test: building eice, the tests, the examples"
	-@$(MAKE) --no-print-directory -k -j$(JOBS) test-programs
	@echo "test: running them"
	@$(PYTHON) tests/run.py $(ONLY)

build/fuzz/%: tests/fuzz/%.c $(TEST_H) build/tests/native/libs
	@mkdir -p $(@D)
	@echo "fuzz: $<"
	@clang $(TEST_FLAGS) -O1 -g -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=all $< build/native/libssh2.a \
	    build/native/libbearssl.a -o $@

fuzz: $(FUZZ_C:tests/fuzz/%.c=build/fuzz/%) ## fuzz each parser for T=60 seconds
	@$(PYTHON) tests/fuzz.py $(T)

bench: build/eice build/tunnel build/native/libssh2.a build/native/libbearssl.a ## figures
	@$(PYTHON) tests/bench/bench.py

packages-long: packages-test ## install the Debian packages for test-long
	@tools/deps/packages long

# Built for the tree of Debian 13, which has no libasan.
LONG_HELPERS = $(addprefix build/tests/native/,aws_call cred_dump e2e_channels \
    keys_helper ssh_session)

# Long forms of the tests, OpenSSH 10 and the AWS CLI of Debian 13 (as root).
test-long: packages-long $(LONG_HELPERS) ## all tests, in full
	@EICE_LONG=1 $(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory fuzz

test-defects: build/native/libssh2.a build/native/libbearssl.a ## test the tests
	@$(PYTHON) tests/defects/run.py

demo: packages-demo ## build, then show it all against an offline AWS
	@echo "demo: building eice"
	@$(MAKE) --no-print-directory build/eice
	@$(PYTHON) tools/demo

# --- housekeeping -----------------------------------------------------------

clean: ## remove what was compiled, keep the fetched sources
	rm -rf build/eice build/tunnel $(FLAVOURS:%=build/%)

distclean: ## remove build/
	rm -rf build

.PHONY: all tunnel help install deps deps-tls deps-ssh packages packages-demo \
    packages-test packages-long test test-programs test-defects test-long bench fuzz demo \
    clean distclean FORCE
