# Bono: make help lists the targets. V=1 shows the commands.
# One archive per layer, linked downwards only: a layer cannot call what stands above it.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC := gcc
CLANG := clang
PYTHON ?= /usr/bin/python3
OPT ?= -O2
SAN ?=
VERSION := 0.1.0

PACKAGES := libevent libevent_pthreads openssl jansson yaml-0.1 libsystemd
CFLAGS_ALL := -std=gnu11 $(OPT) -g -fno-omit-frame-pointer -pthread -Wall -Wextra -Wshadow -Wvla \
	-Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wwrite-strings -Wno-unused-parameter \
	-Werror -D_GNU_SOURCE= -Iinclude -DBONO_VERSION='"$(VERSION)"' $(SAN) $(CFLAGS)
# sofia's headers are seen by src/sip only; the others of PACKAGES stand in the system's path.
SOFIA_CFLAGS = $(shell pkg-config --cflags sofia-sip-ua | sed 's/-I/-isystem /g')
LIBS = -lsofia-sip-ua $(shell pkg-config --libs $(PACKAGES)) -pthread -lm

LAYERS := base sip config metrics loop transport transaction flow upstream proxy worker admin control
deps_base := base
deps_sip := sip base
deps_config := config base
deps_metrics := metrics base
deps_loop := loop base
deps_transport := transport loop metrics sip base
deps_transaction := transaction $(deps_transport)
deps_flow := flow $(deps_transport)
deps_upstream := upstream transaction config $(deps_transport)
deps_proxy := proxy upstream flow transaction config $(deps_transport)
deps_worker := worker $(deps_proxy)
deps_admin := admin $(deps_proxy)
deps_control := control worker admin $(deps_proxy)
deps_main := $(deps_control)

PROGRAMS := bono bonoctl sprout-sim

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

.PHONY: all
all: $(PROGRAMS:%=$(BUILD)/%)

# ---- objects, archives, programs ----

archive = $(BUILD)/lib/lib$(1).a
objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/$(1)/*.c))

$(BUILD)/obj/sip/%.o: CFLAGS_ALL += $(SOFIA_CFLAGS)
$(BUILD)/obj/%.o: src/%.c
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
SUPPORT := $(wildcard tests/support/*.c)

$(BUILD)/unit/sip/%: CFLAGS_ALL += $(SOFIA_CFLAGS)
define unit_rule
$(BUILD)/unit/$(1)/%_test: tests/unit/$(1)/%_test.c $(SUPPORT) $(call archives_of,$(1))
	$$(call say,TEST,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS_ALL) -Itests -MMD -MP -MF $$@.d -o $$@ $$(filter %.c,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBS) -lcmocka
endef
$(foreach layer,$(LAYERS),$(eval $(call unit_rule,$(layer))))

.PHONY: unit
unit: $(UNIT_TESTS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
