# SPDX-License-Identifier: Apache-2.0
# Builds every program, runs an instance, runs every check. `make help` lists the targets.
#
# Nothing is listed by name twice: a program is a directory below services/ or tools/ that holds a
# main.c; a new source file in it needs no change here. All paths are relative, so the
# checkout may lie below a directory with a space in its name.
#
# The variants SAN=1 (sanitizers), FAULT=1 (fault points), FUZZ=1 (clang, libFuzzer) and COVERAGE=1
# change flags, so each has a directory of its own below build/.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

# ---- what is built ----------------------------------------------------------------------------

SERVICES := edge ledger catalog usage
TOOLS    := bourse simprovider migrate supervise load tidy
NAMES    := $(SERVICES) $(TOOLS)

# The directory of a program, its sources, and the one file of it that holds main().
directory_of = $(if $(filter $(1),$(SERVICES)),services,tools)/$(1)
sources_in   = $(if $(wildcard $(1)/),$(shell find $(1) -type f -name '$(2)' | sort))
sources_of   = $(call sources_in,$(directory_of),*.c)
main_of      = $(wildcard $(directory_of)/main.c)

PROGRAMS := $(foreach name,$(NAMES),$(if $(call main_of,$(name)),$(name)))

# ---- how it is built --------------------------------------------------------------------------

BUILD_ROOT ?= build
variant    := $(if $(SAN),san,$(if $(FAULT),fault,$(if $(FUZZ),fuzz,$(if $(COVERAGE),coverage))))
BUILD      := $(BUILD_ROOT)$(if $(variant),/$(variant))

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Werror
# gcc copies and clears structures with the processor's repeated moves, which take long to begin; the
# functions of libc do not: a hold and its end take the ledger's core 16 % less time with them.
copies   := $(if $(filter x86_64,$(shell uname -m)),-mmemcpy-strategy=libcall:-1:noalign \
              -mmemset-strategy=libcall:-1:noalign)
release  := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong $(copies)
flags_of_fault    := $(release) -DBOURSE_FAULT_POINTS
flags_of_san      := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
                     -fno-sanitize-recover=undefined
flags_of_coverage := -O0 -g --coverage
flags_of_fuzz     := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
                     -fno-sanitize=vptr -fno-sanitize-recover=undefined -Wno-error
# Programs of the release are optimized as a whole when they are linked: the edge then needs 8 % less
# CPU per request. Objects hold machine code besides, with which the many test programs link quickly.
whole_program := -flto -ffat-lto-objects
VARIANT_FLAGS := $(if $(variant),$(flags_of_$(variant)),$(release) $(whole_program))
LINK_PROGRAM  := $(if $(variant),,-flto=auto)
LINK_TEST     := $(if $(variant),,-fno-lto)

CC  := $(if $(FUZZ),clang-14,gcc)
CXX := $(if $(FUZZ),clang++-14,g++)

# The macro of h2o decides the layout of its structures; shared/h2o.h asserts it.
CPPFLAGS := -I. -I/usr/include/postgresql -D_GNU_SOURCE -DH2O_USE_LIBUV=0
# Hidden, because a program's function takes the place of a library's of the same name: our json_string()
# was called by libjwt instead of libjansson's and wrote through its argument.
CFLAGS   := -std=c17 $(WARNINGS) $(VARIANT_FLAGS) -fPIE -fvisibility=hidden
# simdjson is a header library for the greatest part, hence its own optimization level.
CXXFLAGS := -std=c++17 -Wall -Wextra -Wshadow -Werror $(VARIANT_FLAGS) -O3 -fPIE -fvisibility=hidden
LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize=% --coverage,$(VARIANT_FLAGS))
LIBRARIES := -lh2o-evloop -lssl -lcrypto -lsimdjson -lstdc++ -lsodium -ljwt -lpthread

# The edge has no database: libpq is named only for these, and a test reads the result.
WITH_DATABASE := ledger catalog usage migrate bourse
WITH_CURL     := bourse
libraries_of = $(if $(filter $(1),$(WITH_DATABASE)),-lpq) $(if $(filter $(1),$(WITH_CURL)),-lcurl) $(LIBRARIES)

object_of = $(patsubst %,$(BUILD)/objects/%.o,$(basename $(1)))

all: $(PROGRAMS:%=$(BUILD)/%) ## build every program (the default)

# ---- shared library and programs --------------------------------------------------------------

LIBRARY := $(BUILD)/libshared.a
LIBRARY_SOURCES := $(call sources_in,shared,*.c) $(call sources_in,shared,*.cc)
SOURCES := $(LIBRARY_SOURCES) $(foreach name,$(NAMES),$(call sources_of,$(name)))

# An archive is written beside its place and moved there, so that no reader sees half of one.
define write_archive
@rm -f $@.$$$$ && $(AR) qcs $@.$$$$ $^ && mv -f $@.$$$$ $@
endef

$(LIBRARY): $(call object_of,$(LIBRARY_SOURCES))
	$(write_archive)

# The statements.sql of a program becomes a text in it: extern const char ledger_statements_sql[];
statements_of = $(patsubst %.sql,$(BUILD)/objects/%.o,$(call sources_in,$(directory_of),statements.sql))
objects_of    = $(call object_of,$(call sources_of,$(1))) $(statements_of) $(audit_of)
# Who checks the books by a timer has the rules in it: extern const char schema_audit_sql[];
audit_of      = $(if $(filter usage,$(1)),$(BUILD)/objects/schema/audit.o)

# text_as_source(name): a C file with the text of the first prerequisite.
define text_as_source
@mkdir -p $(@D)
@{ echo 'extern const char $(1)[];'; echo 'const char $(1)[] ='; \
   sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' '$<'; echo ';'; } > $@
endef

$(BUILD)/objects/%/statements.c: %/statements.sql Makefile
	$(call text_as_source,$(notdir $*)_statements_sql)

$(BUILD)/objects/schema/audit.c: schema/audit.sql Makefile
	$(call text_as_source,schema_audit_sql)

$(BUILD)/objects/%/statements.o: $(BUILD)/objects/%/statements.c $(BUILD)/flags
	@echo "  compile $*/statements.sql"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/objects/schema/audit.o: $(BUILD)/objects/schema/audit.c $(BUILD)/flags
	@echo "  compile schema/audit.sql"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# The archive holds everything of a program except main(): what its tests link against.
define program_rules
$(BUILD)/parts/$(1).a: $(filter-out $(call object_of,$(call main_of,$(1))),$(call objects_of,$(1)))
	@mkdir -p $$(@D)
	$$(write_archive)

$(BUILD)/$(1): $(call objects_of,$(1)) $(LIBRARY)
	@echo "  link    $$@"
	@$(CC) -o $$@ $$^ $(LINK_PROGRAM) $(LDFLAGS) $(call libraries_of,$(1))
endef
$(foreach name,$(NAMES),$(eval $(call program_rules,$(name))))

$(BUILD)/objects/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  compile $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/objects/%.o: %.cc $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  compile $<"
	@$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

# `make FAULT=1 BUG=ONE_NUMBER build/fault/planted/ONE_NUMBER/ledger`: the files that know the bug are
# compiled with it and take the place of those in the archive, as in tests/unit/ledger/bug_*_test.c.
PLANTED := $(BUILD)/planted/$(or $(BUG),NONE)
PLANTED_SOURCES := $(if $(BUG),$(shell grep -rlw --include='*.c' 'BUG_$(BUG)' services/ledger))

$(PLANTED)/objects/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -DBUG_$(BUG) -MMD -MP -c -o $@ $<

$(PLANTED)/ledger: $(PLANTED_SOURCES:%.c=$(PLANTED)/objects/%.o) \
                   $(call object_of,services/ledger/main.c) $(BUILD)/parts/ledger.a $(LIBRARY)
	@$(CC) -o $@ $^ $(LINK_PROGRAM) $(LDFLAGS) $(call libraries_of,ledger)

-include $(PLANTED_SOURCES:%.c=$(PLANTED)/objects/%.d)

# Changes only when the flags do: objects of other flags are never linked.
$(BUILD)/flags: always
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS)' | cmp -s - $@ || \
	  echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS)' > $@

# ---- test programs ----------------------------------------------------------------------------

# A file *_test.c below tests/unit or tests/fault is a program; the other .c files of its directory
# are linked to each. A file *_fuzz.c below tests/fuzz is a fuzz target, a file *_bench.c below
# tests/bench measures. The first program named in the path (tests/unit/ledger/core_test.c,
# tests/fuzz/edge_openai_fuzz.c) is linked without main().
TESTS := $(call sources_in,tests/unit,*_test.c) $(call sources_in,tests/fault,*_test.c)
FUZZERS := $(call sources_in,tests/fuzz,*_fuzz.c)
BENCHES := $(call sources_in,tests/bench,*_bench.c)

subject_of = $(firstword $(filter $(NAMES),$(subst /, ,$(subst _, ,$(1)))))
parts_of   = $(patsubst %,$(BUILD)/parts/%.a,$(subject_of))
support_of = $(filter-out %_test.c %_fuzz.c %_bench.c,$(wildcard $(dir $(1))*.c))

define test_rules
$(BUILD)/$(basename $(1)): $(call object_of,$(1) $(call support_of,$(1))) $(call parts_of,$(1)) \
                           $(LIBRARY)
	@mkdir -p $$(@D)
	@echo "  link    $$@"
	@$(CC) -o $$@ $$^ $(2) $(LDFLAGS) -lpq $(LIBRARIES)
endef
$(foreach test,$(TESTS),$(eval $(call test_rules,$(test),$(LINK_TEST) -lcmocka)))
$(foreach test,$(FUZZERS),$(eval $(call test_rules,$(test),$(LINK_TEST) -fsanitize=fuzzer)))
# What a program does is measured as the program does it: optimized as a whole.
$(foreach test,$(BENCHES),$(eval $(call test_rules,$(test),$(LINK_PROGRAM))))

test-programs: $(TESTS:%.c=$(BUILD)/%)
fuzz-programs: $(FUZZERS:%.c=$(BUILD)/%)
bench-programs: $(BENCHES:%.c=$(BUILD)/%)

ALL_SOURCES := $(SOURCES) $(foreach test,$(TESTS) $(FUZZERS) $(BENCHES),$(test) $(call support_of,$(test)))
-include $(patsubst %.o,%.d,$(call object_of,$(sort $(ALL_SOURCES))))

# ---- running ----------------------------------------------------------------------------------

# What is missing is installed first; BOURSE_VAR and BOURSE_PORT reach the script as environment.
INSTANCE := BOURSE_BUILD='$(BUILD)' tools/run/instance

deps: ## install the Debian and npm packages that are missing
	@deploy/dependencies test

# The page that a browser sees; Node builds it, the edge serves the files.
console: $(BUILD_ROOT)/console/index.html ## build the console
	@:

$(BUILD_ROOT)/console/index.html: $(wildcard services/console/*.json services/console/*.ts services/console/*.html \
                                  services/console/src/*)
	@echo "  build   services/console"
	@PATH="$(CURDIR)/.node/node_modules/node/bin:$$PATH" CONSOLE_OUT='$(abspath $(BUILD_ROOT))/console' \
	  npm run --silent --prefix services/console build -- --logLevel warn

run up: ## run an instance in the foreground; up: in the background
	@deploy/dependencies run
	@$(MAKE) --no-print-directory -j"$$(nproc)" all console
	@$(INSTANCE) $@

down: ## stop it; nothing is left running
	@$(INSTANCE) down

audit: ## check the books of the running instance
	@$(INSTANCE) audit

# ---- checking ---------------------------------------------------------------------------------

test: ## run every test; ends with `N passed, N failed`
	@deploy/dependencies test
	@tests/run

check: ## the quick tests only: unit tests and fuzz corpora
	@tests/run unit fuzz

lint: ## style, static analysis, headers that compile alone
	@deploy/dependencies test
	@tools/run/lint

# A source is looked at again when its object is built again; headers count through that.
clang-tidy: $(patsubst %.c,$(BUILD)/checked/%.ok,$(filter %.c,$(SOURCES)))

$(BUILD)/checked/%.ok: $(BUILD)/objects/%.o .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy-14 --quiet $*.c -- $(CPPFLAGS) -std=c17 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

format: ## lay out the C sources as lint wants them
	@git ls-files -z -co --exclude-standard '*.c' '*.h' '*.cc' | xargs -0 clang-format-14 -i

fuzz: ## fuzz each parser for SECONDS (default 60)
	@deploy/dependencies test
	@tests/run fuzz-long $(or $(SECONDS),60)

simulate: ## the ledger's core among faults for SECONDS (default 60), ≥ 500,000 events a second
	@deploy/dependencies test
	@SIMULATE_S=$(or $(SECONDS),60) tests/run simulate

coverage: ## lines of shared/ and services/ that the unit tests reach
	@deploy/dependencies test
	@tools/run/coverage

bench: ## speed as ratios against nginx, into build/bench.json
	@deploy/dependencies test
	@$(MAKE) --no-print-directory -j"$$(nproc)" all
	@tests/bench/run

docs: all ## write the tables of docs/ anew from the .def files
	@tools/run/docs

dist: all ## the source with the built console, as build/bourse-VERSION.tar.gz
	@tools/run/dist

clean: ## remove what was built (a running instance's data stays)
	rm -rf $(BUILD_ROOT)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { gsub(/ /, "|", $$1); printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: all console clang-tidy deps run up down audit test check lint format fuzz simulate coverage bench docs dist clean help \
        always test-programs fuzz-programs bench-programs
