# Bono: make help lists the targets. V=1 shows the commands.
# One archive per layer, linked downwards only: a layer cannot call what stands above it.

BUILD ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DOC = $(PREFIX)/share/doc/bono
DESTDIR ?=
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 20
CC := gcc
CLANG := clang
PYTHON ?= /usr/bin/python3
OPT ?= -O2
SAN ?=
VERSION := 0.1.0
# kamailio, knotd and nft live there; a user's own PATH does not lead there on Debian.
export PATH := $(PATH):/usr/sbin:/sbin

PACKAGES := libevent libevent_pthreads openssl jansson yaml-0.1 libsystemd libcares expat
CFLAGS_ALL := -std=gnu11 $(OPT) -g -fno-omit-frame-pointer -pthread -Wall -Wextra -Wshadow -Wvla \
	-Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wwrite-strings -Wno-unused-parameter \
	-Werror -D_GNU_SOURCE= -Iinclude -DBONO_VERSION='"$(VERSION)"' $(SAN) $(CFLAGS)
# sofia's headers are seen by src/sip only; the others of PACKAGES stand in the system's path.
SOFIA_CFLAGS = $(shell pkg-config --cflags sofia-sip-ua | sed 's/-I/-isystem /g')
LIBS = -lsofia-sip-ua $(shell pkg-config --libs $(PACKAGES)) -lresolv -lwslay -pthread -lm

LAYERS := base sip config metrics loop transport transaction flow upstream charging proxy worker admin control
deps_base := base
deps_sip := sip base
deps_config := config base
deps_metrics := metrics base
deps_loop := loop base
deps_transport := transport loop metrics sip base
deps_transaction := transaction $(deps_transport)
deps_flow := flow $(deps_transport)
deps_upstream := upstream transaction config $(deps_transport)
deps_charging := charging loop metrics base
deps_proxy := proxy charging upstream flow transaction config $(deps_transport)
deps_worker := worker $(deps_proxy)
deps_admin := admin $(deps_proxy)
deps_control := control worker admin $(deps_proxy)
deps_main := $(deps_control)

PROGRAMS := bono bonoctl sprout-sim

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

# What Debian calls the things that we need: to build, and to prove.
DEBIAN_BUILD := gcc pkgconf libc6-dev libsofia-sip-ua-dev libevent-dev libssl-dev libjansson-dev \
	libyaml-dev libsystemd-dev libc-ares-dev libwslay-dev libexpat1-dev python3-minimal
DEBIAN_TEST := libcmocka-dev clang libclang-rt-dev sip-tester baresip-core kamailio \
	kamailio-outbound-modules kamailio-extra-modules kamailio-presence-modules kamailio-tls-modules kamailio-websocket-modules prometheus tshark knot \
	iproute2 nftables openssl gnutls-bin sslscan socat python3 python3-pytest python3-yaml python3-websockets \
	linphone-cli chromium libnss3-tools ca-certificates node:nodejs npm:npm

.PHONY: all
all: $(PROGRAMS:%=$(BUILD)/%) ## build the programs into $(BUILD)/ (the default)
	@:

.PHONY: help
help: ## list the targets
	@awk -F '## ' '/^[a-z0-9-]+:.*## / { sub(/:.*/, "", $$1); printf "  %-14s %s\n", $$1, $$2 }' Makefile

# ---- what must be installed ----

.PHONY: deps deps-build
deps: ## install from Debian what is missing to build and to test
	@scripts/deps install $(DEBIAN_BUILD) $(DEBIAN_TEST)
deps-build: ## install from Debian what is missing to build
	@scripts/deps install $(DEBIAN_BUILD)

# Looked at once per build directory, before the first object: the compiler's own words for a header
# that is not there help nobody. Installs nothing.
PRESENT := $(BUILD)/.present
$(PRESENT):
	@scripts/deps present $(CC):gcc pkg-config:pkgconf sofia-sip-ua=libsofia-sip-ua-dev libevent=libevent-dev \
		libevent_pthreads=libevent-dev openssl=libssl-dev jansson=libjansson-dev yaml-0.1=libyaml-dev \
		libsystemd=libsystemd-dev libcares=libc-ares-dev expat=libexpat1-dev \
		wslay/wslay.h:libwslay-dev
	@mkdir -p $(@D)
	@touch $@
$(PRESENT)-tests: | $(PRESENT)
	@scripts/deps present cmocka=libcmocka-dev $(CLANG):clang
	@touch $@

# ---- objects, archives, programs ----

archive = $(BUILD)/lib/lib$(1).a
objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/$(1)/*.c))

$(BUILD)/obj/sip/%.o: CFLAGS_ALL += $(SOFIA_CFLAGS)
$(BUILD)/obj/%.o: src/%.c | $(PRESENT)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

define layer_rule
$(call archive,$(1)): $(call objects,$(1))
	$$(call say,AR,$$@)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call layer_rule,$(layer))))

archives_of = $(foreach layer,$(deps_$(1)),$(call archive,$(layer)))

# main/ holds one file per program, plus files shared by several: those named PROGRAM_*.c belong to PROGRAM.
program_sources = $(wildcard src/main/$(1).c src/main/$(1)_*.c)
define program_rule
$(BUILD)/$(1): $(patsubst src/%.c,$(BUILD)/obj/%.o,$(call program_sources,$(subst -,_,$(1)))) $(call archives_of,main)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS_ALL) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBS)
endef
$(foreach program,$(PROGRAMS),$(eval $(call program_rule,$(program))))

# ---- unit tests: tests/unit/LAYER/MODULE_test.c, linked with that layer and those below ----

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*/*_test.c))
# Those whose code runs on several threads, or is called from several: run under TSan too.
THREADED := loop/% transport/% charging/% control/% worker/% base/log_test base/memory_test base/random_test %_threads_test
THREADED_TESTS := $(filter $(THREADED:%=$(BUILD)/unit/%),$(UNIT_TESTS))

SUPPORT := $(BUILD)/lib/libsupport.a
$(BUILD)/obj/support/%.o: tests/support/%.c | $(PRESENT)-tests
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Itests -MMD -MP -c $< -o $@
$(SUPPORT): $(patsubst tests/support/%.c,$(BUILD)/obj/support/%.o,$(wildcard tests/support/*.c))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/unit/sip/%: CFLAGS_ALL += $(SOFIA_CFLAGS)
define unit_rule
$(BUILD)/unit/$(1)/%_test: tests/unit/$(1)/%_test.c $(SUPPORT) $(call archives_of,$(1))
	$$(call say,TEST,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS_ALL) -Itests -MMD -MP -MF $$@.d -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBS) -lcmocka
endef
$(foreach layer,$(LAYERS),$(eval $(call unit_rule,$(layer))))

SAN_ADDRESS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_THREAD := -fsanitize=thread

.PHONY: unit unit-build list-unit threaded threaded-build list-threaded asan tsan
unit-build: $(UNIT_TESTS)
threaded-build: $(THREADED_TESTS)
list-unit:
	@echo $(UNIT_TESTS)
list-threaded:
	@echo $(THREADED_TESTS)
unit: unit-build ## build and run the unit tests
	@tests/run_check unit $(UNIT_TESTS)
threaded: threaded-build
	@tests/run_check unit $(THREADED_TESTS)
asan: ## the unit tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-asan OPT=-O1 SAN='$(SAN_ADDRESS)' unit
tsan: ## the unit tests of threaded code under ThreadSanitizer
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-tsan OPT=-O1 SAN='$(SAN_THREAD)' threaded

# ---- fuzzing: tests/fuzz/NAME_fuzz.c with everything below main/, corpus in tests/fuzz/corpus/NAME/ ----
# New inputs go to $(BUILD)/fuzz/corpus/NAME; fuzz-keep merges into the kept corpus what adds coverage.

FUZZERS := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_BINARIES := $(FUZZERS:%=$(BUILD)/fuzz/%_fuzz)
FUZZ_SAN := address,undefined -fno-sanitize-recover=undefined
FUZZ_CFLAGS = $(filter-out -Werror -O%,$(CFLAGS_ALL)) -O1 $(SOFIA_CFLAGS)
FUZZ_OBJECTS := $(patsubst src/%.c,$(BUILD)/fuzz/obj/%.o,$(foreach layer,$(LAYERS),$(wildcard src/$(layer)/*.c)))

$(BUILD)/fuzz/obj/%.o: src/%.c | $(PRESENT)-tests
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -MMD -MP -c $< -o $@
$(BUILD)/fuzz/libbono.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(BUILD)/fuzz/%_fuzz: tests/fuzz/%_fuzz.c $(BUILD)/fuzz/libbono.a
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -Itests -fsanitize=fuzzer,$(FUZZ_SAN) -MMD -MP -MF $@.d -o $@ $(filter %.c %.a,$^) $(LIBS)

.PHONY: fuzz fuzz-build fuzz-keep
fuzz-build: $(FUZZ_BINARIES)
fuzz: fuzz-build ## run every fuzz target side by side, FUZZ_SECONDS=20 each
	@tests/run_check fuzz $(FUZZ_SECONDS) $(FUZZ_BINARIES)
fuzz-keep: fuzz-build ## merge what fuzzing found into the kept corpora
	@for name in $(FUZZERS); do mkdir -p tests/fuzz/corpus/$$name $(BUILD)/fuzz/corpus/$$name && \
		$(BUILD)/fuzz/$${name}_fuzz -merge=1 tests/fuzz/corpus/$$name $(BUILD)/fuzz/corpus/$$name || exit 1; done

# ---- the phones that the end-to-end tests run in a browser: packages of npm, as package-lock.json names them ----

BROWSER := $(BUILD)/browser
$(BROWSER)/node_modules/.installed: tests/e2e/browser/package.json tests/e2e/browser/package-lock.json
	$(call say,NPM,$(@D))
	@mkdir -p $(BROWSER)
	@cp $^ $(BROWSER)/
	$(Q)cd $(BROWSER) && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >npm.log 2>&1 || { cat npm.log; exit 1; }
	@touch $@
$(BROWSER)/phones.js: tests/e2e/browser/phones.js $(BROWSER)/node_modules/.installed
	$(call say,BUNDLE,$@)
	$(Q)NODE_PATH=$(abspath $(BROWSER))/node_modules node $(BROWSER)/node_modules/esbuild/bin/esbuild $< \
		--bundle --format=iife --log-level=warning --outfile=$@
.PHONY: browser
browser: $(BROWSER)/phones.js

# ---- the proof ----

.PHONY: check layers e2e bench soak drill
check: deps ## every test there is; the last line counts them
	@BUILD='$(BUILD)' JOBS='$(JOBS)' MAKE='$(MAKE)' PYTHON='$(PYTHON)' FUZZ_SECONDS='$(FUZZ_SECONDS)' tests/run_check all
layers: ## fail on an #include that reaches upwards
	@find include src -name '*.[ch]' | sort | xargs awk -f tests/layers.awk
e2e: deps ## the end-to-end tests
	@$(MAKE) --no-print-directory -j$(JOBS) all browser
	@BUILD='$(BUILD)' $(PYTHON) -m pytest -q tests/e2e
bench: deps ## compare with Kamailio and a bare forwarder, on this machine
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@BUILD='$(BUILD)' CC='$(CC)' tests/bench/run
soak: deps ## what takes hours or at least minutes: tests/soak, sizes by SOAK_... (SOAK='-k killed' for some)
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@BUILD='$(BUILD)' $(PYTHON) -m pytest -q $(SOAK) tests/soak
DRILL ?=
drill: deps ## break the two sites in every way under load, print what clients saw; DRILL='--row slow' some
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@BUILD='$(BUILD)' CC='$(CC)' tests/drill/run $(DRILL)

# ---- the demo ----

SITE ?= site-a
.PHONY: demo demo-kill demo-restore
demo: deps-build ## two sites on this machine, in the foreground; Ctrl-C ends it
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@BUILD='$(BUILD)' scripts/demo run
demo-kill: ## kill a site of the running demo: SITE=site-a
	@BUILD='$(BUILD)' scripts/demo kill $(SITE)
demo-restore: ## bring it back: SITE=site-a
	@BUILD='$(BUILD)' scripts/demo restore $(SITE)

# ---- care ----

SOURCES = $(shell find src include tests -name '*.[ch]')

.PHONY: lint format install clean
lint: deps-build ## clang-tidy over the sources
	@scripts/deps install clang-tidy
	@find src -name '*.c' | sort | xargs -P $(JOBS) -I FILE clang-tidy --quiet FILE -- $(CFLAGS_ALL) $(SOFIA_CFLAGS)
format: ## lay out all C sources by .clang-format
	@scripts/deps install clang-format
	@clang-format -i $(SOURCES)
install: all ## install to DESTDIR=, PREFIX=/usr/local; the configuration to SYSCONFDIR=/etc
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(DOC)/docs $(DESTDIR)$(DOC)/conf $(DESTDIR)$(DOC)/sipp-scenarios \
		$(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(SYSCONFDIR)/bono
	install -m 0755 $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(PREFIX)/bin/
	@# laid out as here, so that the links in them hold
	install -m 0644 README.md LICENSE $(DESTDIR)$(DOC)/
	install -m 0644 $(wildcard docs/*.md) $(DESTDIR)$(DOC)/docs/
	install -m 0644 conf/bono.yaml $(DESTDIR)$(DOC)/conf/
	install -m 0644 $(wildcard sipp-scenarios/*) $(DESTDIR)$(DOC)/sipp-scenarios/
	sed 's,@BIN@,$(PREFIX)/bin,; s,@CONF@,$(SYSCONFDIR)/bono,; s,@DOC@,$(DOC),' conf/bono.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/bono.service
	@# the operator's own configuration is never written over
	test -e $(DESTDIR)$(SYSCONFDIR)/bono/bono.yaml || install -m 0644 conf/bono.yaml $(DESTDIR)$(SYSCONFDIR)/bono/
clean: ## remove what was built
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
