# `make help` lists the targets. CI calls only `make test` and `make proof`.
.SUFFIXES:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# ARCH=arm64: programs and images for that machine, with -arm64 behind their names.
ARCH := amd64
ifeq ($(ARCH),amd64)
TARGET := x86_64-unknown-linux-musl
LINKER := musl-gcc
BUILD := build
SUFFIX :=
FOREIGN :=
FOREIGN_PACKAGES :=
KERNEL_FROM :=
INITRAMFS_FROM :=
IMAGE_FROM :=
# no_timer_check: on a busy host QEMU's timer is late, and Linux takes that for a broken board and panics.
# cryptomgr.notests: a second of each boot.
TEST_IMAGE := --kernel-args "console=tty0 console=ttyS0,115200 no_timer_check cryptomgr.notests"
# Some tests boot what is shipped.
SHIPPED_TOO := dist/kubesolo.img
else ifeq ($(ARCH),arm64)
TARGET := aarch64-unknown-linux-musl
# Debian's cross compiler is to be had as a package of this machine; musl, GRUB and the programs of the initramfs are not.
FOREIGN := build/arm64/foreign/root
FOREIGN_PACKAGES := gcc-aarch64-linux-gnu qemu-user
LINKER := $(CURDIR)/$(FOREIGN)/usr/bin/aarch64-linux-musl-gcc
BUILD := build/arm64
SUFFIX := -arm64
KERNEL_FROM := APT_CONFIG=$(CURDIR)/build/arm64/foreign/apt.conf KERNEL_PACKAGE=linux-image-arm64
INITRAMFS_FROM := --busybox $(FOREIGN)/bin/busybox --e2fsck $(FOREIGN)/sbin/e2fsck.static --emulator qemu-aarch64
IMAGE_FROM := --arch arm64 --grub-lib $(FOREIGN)/usr/lib/grub
TEST_IMAGE :=
SHIPPED_TOO :=
ifneq ($(filter check audit test proof fuzz qemu-test soak demo size bench no-std,$(MAKECMDGOALS)),)
$(error ARCH=arm64 is for what is built: all, dist, image, image-test, image-kubesolo. `make proof` tests that, too)
endif
else
$(error ARCH=$(ARCH): amd64 or arm64)
endif
# Debian's own toolchain (packages rustc-web, rust-web-src): it can rebuild std, which rustup's stable cannot.
CARGO := PATH=/usr/bin:$$PATH RUSTC=/usr/bin/rustc /usr/bin/cargo
HOST := --locked --target-dir build/host
# Static with musl, std rebuilt for size, no unwinding and no panic messages, a reproducible file.
# The data begin in the file where the code ends, not at the next 4 KiB: a byte saved is a byte less.
STATIC := -Clink-self-contained=no -Ctarget-feature=+crt-static -Crelocation-model=static -Cforce-unwind-tables=no \
  -Zunstable-options -Cpanic=immediate-abort -Zfmt-debug=none -Cllvm-args=-enable-machine-outliner=always --cfg sha2_backend_soft=\"compact\" \
  -Clink-arg=-L$(CURDIR)/build \
  -Clink-arg=-Wl,-z,noseparate-code,--build-id=none,-z,norelro,-z,common-page-size=16 \
  --remap-path-prefix=$(CURDIR)=/kubesolo-boot --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo
SOURCES := $(shell find core src -name '*.rs') Cargo.toml core/Cargo.toml Cargo.lock
CLOUD_INIT := $(shell find initramfs/cloud-init -name '*.rs' -o -name '*.toml' -o -name '*.yaml')
# What packs an initramfs runs here, whatever the image is for.
CHUNKS := dist/kubesolo-chunks
SYSTEM := $(shell find initramfs -type f -not -path '*/cloud-init/*') image/initramfs

# TLS=1: the binary with https goes into the images and into what is delivered.
NAME := dist/kubesolo-boot$(if $(TLS),-tls)
BINARY := $(NAME)$(SUFFIX)
CLOUD_INIT_BINARY := dist/kubesolo-cloud-init$(SUFFIX)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RELEASE := $(NAME)-$(VERSION)-$(firstword $(subst -, ,$(TARGET))).tar.gz

# `make TLS=1` builds; plain `make` explains.
.DEFAULT_GOAL := $(if $(TLS),all,help)
.PHONY: help all deps deps-build dist check audit test proof fuzz qemu-test soak image image-test image-kubesolo demo size bench no-std clean

help: ## this list
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' Makefile | expand -t 16

all: deps-build dist/kubesolo-boot$(SUFFIX) dist/kubesolo$(SUFFIX).img ## the binary and the disk image, into dist/; ARCH=arm64 does it for arm64

deps: ## install the Debian packages that are missing, the tests' too
	@tools/deps all

# Building takes fewer.
deps-build:
	@tools/deps build $(FOREIGN_PACKAGES)

# What it says of its own age is that of the last commit.
dist: export SOURCE_DATE_EPOCH := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null))
dist: FEATURES := $(if $(TLS),--features tls)
dist: deps-build $(BINARY) ## all that is delivered as one archive, the same bytes wherever it is built
	$(CARGO) run $(HOST) --quiet --example manual -- "$$(LC_ALL=C date -u -d @$$SOURCE_DATE_EPOCH '+%B %-d, %Y')" build/manual
	@$(BUILD_STATIC) kubesolo-boot $(FEATURES) --unit-graph -Zunstable-options >build/units.json
	PATH=/usr/bin:$$PATH tools/sbom $(BINARY) <build/units.json >build/sbom.cdx.json
	tools/dist --binary $(BINARY) --manual build/manual --sbom build/sbom.cdx.json --out $(RELEASE)

check: deps-build ## format and lints
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy $(HOST) --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(HOST) --package kubesolo-boot --all-targets --features tls -- -D warnings
	$(CARGO) clippy $(HOST) --package kubesolo-boot --all-targets --features minreq -- -D warnings
	grub-script-check grub/grub.cfg

audit: deps ## the crates: known defects, licences, sources
	tools/audit

test: deps ## what one waits for: lints, the programs' tests, size, a story of each kind; ten minutes (PART=name picks some)
	@tests/run.sh test $(PART)

proof: deps ## the rest, and in full: every part runs, whichever fails; about an hour (PART=name picks some)
	@tests/run.sh proof $(PART)

FUZZ_SECONDS := 600
fuzz: deps ## what others write, in every mutation: FUZZ_SECONDS=600 a target (FUZZ=name picks some); a quarter of a minute in `make proof`
	FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ)

qemu-test: deps image-test ## the stories that boot the images (STORY=name picks some)
	$(MAKE) --no-print-directory ARCH=arm64 image-test
	$(CARGO) test $(HOST) --package qemu-tests -- $(STORY)

# As many as an hour has time for.
LIVES := 4000000
soak: deps image-test ## an hour of lives in memory (LIVES=how many), then 200 random power cuts in QEMU (SEED=first, SEEDS=how many)
	KSOLO_CASES=$(LIVES) $(if $(SEED),KSOLO_SEED=$(SEED)) $(CARGO) test $(HOST) --package kubesolo-core --test simulator
	$(if $(SEED),SEED=$(SEED)) $(if $(SEEDS),SEEDS=$(SEEDS)) $(CARGO) test $(HOST) --package qemu-tests --test stories -- --ignored soak_

image: deps-build dist/kubesolo$(SUFFIX).img ## the disk image of shipped size

image-test: deps-build dist/kubesolo-test$(SUFFIX).img $(SHIPPED_TOO) ## a small one for tests

image-kubesolo: deps-build $(BINARY) $(CLOUD_INIT_BINARY) $(CHUNKS) ## the disk image with Kubernetes in it, from KUBESOLO=binary (EXTRA=folder)
	image/payload $(BUILD)/payload
	MODULES_TOO="$$(image/payload --modules)" $(KERNEL_FROM) image/kernel $(BUILD)/kubesolo
	image/initramfs --binary $(BINARY) --cloud-init $(CLOUD_INIT_BINARY) --kernel-modules $(BUILD)/kubesolo/modules \
	  --chunks $(CHUNKS) --payload $(BUILD)/payload $(INITRAMFS_FROM) --out $(BUILD)/kubesolo/kubesolo-os.gz
	image/build --kernel $(BUILD)/kubesolo/vmlinuz --initramfs $(BUILD)/kubesolo/kubesolo-os.gz --chunks $(CHUNKS) $(IMAGE_FROM) \
	  --out dist/kubesolo-kubernetes$(SUFFIX).img

demo: deps dist/kubesolo-test.img ## a good update, a bad update, and its rollback, before your eyes (RECORD=1: into docs/demo.svg)
	@$(CARGO) build $(HOST) --quiet --package qemu-tests --bin demo
	@KSOLO_IMAGE=dist/kubesolo-test.img build/host/debug/demo $(if $(RECORD),>docs/demo.txt)
	$(if $(RECORD),@docs/demo.py >docs/demo.svg)

size: deps dist/kubesolo-boot dist/kubesolo-boot-tls dist/kubesolo-cloud-init ## what the programs weigh and cost to run, beside grub-editenv in the same run (RECORD=1: they may weigh that)
	$(if $(RECORD),@$(MAKE) --no-print-directory ARCH=arm64 dist/kubesolo-boot-arm64)
	@RECORD=$(RECORD) tests/size.sh $(if $(RECORD),,kubesolo-boot kubesolo-boot-tls kubesolo-cloud-init)
	@tests/budget.sh

bench: size image-test ## beside RAUC, SWUpdate, grub-editenv and scripts, in one run: bench/RESULTS.md (as root)
	@tools/deps rauc swupdate hyperfine dbus-daemon squashfs-tools zchunk xdelta3
	@$(CARGO) build $(HOST) --quiet --package qemu-tests --bin bench
	@bench/run

no-std: deps-build ## the core alone, for a target without an operating system
	@# That target has no vector registers for sha2 to use.
	RUSTFLAGS='--cfg sha2_backend="soft"' RUSTC_BOOTSTRAP=1 $(CARGO) build --locked --target-dir build/no-std --target x86_64-unknown-none \
	  -Zbuild-std=core --package kubesolo-core

clean: ## remove what was built
	rm -rf build dist target qemu-tests/logs

dist/kubesolo-boot-tls$(SUFFIX): FEATURES := --features tls
# Nobody gets it: docs/decisions/0004-own-http.md says what it lacks.
dist/kubesolo-boot-minreq$(SUFFIX): FEATURES := --features minreq

# A program of the package that is named behind it.
BUILD_STATIC = TARGET_CC=$(LINKER) RUSTFLAGS="-Clinker=$(LINKER) $(STATIC)" \
  RUSTC_BOOTSTRAP=1 $(CARGO) build --locked --release --target $(TARGET) --target-dir $(BUILD)/musl \
  -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size --package

dist/kubesolo-boot$(SUFFIX) dist/kubesolo-boot-tls$(SUFFIX) dist/kubesolo-boot-minreq$(SUFFIX): $(SOURCES) Makefile build/libunwind.a | $(FOREIGN)
	@mkdir -p dist
	@echo 'building $@'
	@$(BUILD_STATIC) kubesolo-boot $(FEATURES)
	cp $(BUILD)/musl/$(TARGET)/release/kubesolo-boot $@

$(CLOUD_INIT_BINARY): $(SOURCES) $(CLOUD_INIT) Makefile build/libunwind.a | $(FOREIGN)
	@mkdir -p dist
	@echo 'building $@'
	@$(BUILD_STATIC) kubesolo-cloud-init
	cp $(BUILD)/musl/$(TARGET)/release/kubesolo-cloud-init $@

$(CHUNKS): $(shell find image/chunks -name '*.rs') image/chunks/Cargo.toml core/src/update/index.rs Cargo.lock
	@mkdir -p dist
	@echo 'building $@'
	@$(CARGO) build $(HOST) --quiet --release --package kubesolo-chunks
	cp build/host/release/kubesolo-chunks $@

# Nothing unwinds; the linker only wants to see the library.
build/libunwind.a:
	@mkdir -p build
	ar rcs $@

# The compiler's wrapper looks for musl where it would be installed.
build/arm64/foreign/root: image/foreign
	image/foreign arm64 build/arm64/foreign musl-dev grub-efi-arm64-bin busybox-static e2fsck-static
	sed -Ei 's,/usr/(lib|include)/aarch64-linux-musl,$(CURDIR)/$@&,g' $@/usr/bin/aarch64-linux-musl-gcc \
	  $@/usr/lib/aarch64-linux-musl/musl-gcc.specs
	touch $@

$(BUILD)/vmlinuz: image/kernel | $(FOREIGN)
	$(KERNEL_FROM) image/kernel $(BUILD)

# Tests boot a smaller kernel, for virtual machines alone.
$(BUILD)/test/vmlinuz: image/kernel | $(FOREIGN)
	$(KERNEL_FROM) KERNEL_PACKAGE=linux-image-cloud-$(ARCH) image/kernel $(BUILD)/test

$(BUILD)/kubesolo-os.gz $(BUILD)/test/kubesolo-os.gz: %/kubesolo-os.gz: %/vmlinuz $(BINARY) $(CLOUD_INIT_BINARY) $(CHUNKS) $(SYSTEM)
	image/initramfs --binary $(BINARY) --cloud-init $(CLOUD_INIT_BINARY) --kernel-modules $*/modules --chunks $(CHUNKS) \
	  $(INITRAMFS_FROM) --out $@

dist/kubesolo$(SUFFIX).img: $(BUILD)/kubesolo-os.gz grub/grub.cfg image/build
	image/build --kernel $(BUILD)/vmlinuz --initramfs $(BUILD)/kubesolo-os.gz --chunks $(CHUNKS) --out $@ $(IMAGE_FROM)

dist/kubesolo-test$(SUFFIX).img: $(BUILD)/test/kubesolo-os.gz grub/grub.cfg image/build
	image/build --kernel $(BUILD)/test/vmlinuz --initramfs $(BUILD)/test/kubesolo-os.gz --chunks $(CHUNKS) --out $@ $(IMAGE_FROM) \
	  --size-esp 34 --size-slot 48 --size-data 32 $(TEST_IMAGE)
