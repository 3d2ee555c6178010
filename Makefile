# make help lists the targets. CI calls only `make test`.
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

TARGET := x86_64-unknown-linux-musl
# Debian's toolchain: it can rebuild std for musl, which rustup's stable cannot. FACTS: README, "How it is built".
DEBIAN := PATH=/usr/bin:$$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo
STATIC := -Clink-self-contained=no -Ctarget-feature=+crt-static -Crelocation-model=static -Cforce-unwind-tables=no \
  -Zunstable-options -Cpanic=immediate-abort -Zfmt-debug=none --cfg sha2_backend_soft=\"compact\" $(EXTRA) -Clink-arg=-L$(CURDIR)/build \
  -Clink-arg=-Wl,-z,noseparate-code,--build-id=none,-z,norelro \
  --remap-path-prefix=$(CURDIR)=/kubesolo-boot --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo

SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock

# TLS=1: the binary with https goes into the images.
BINARY := dist/kubesolo-boot$(if $(TLS),-tls)
dist/kubesolo-boot-tls: FEATURES := --features tls

dist/kubesolo-boot dist/kubesolo-boot-tls: $(SOURCES) Makefile
	@mkdir -p build dist
	@# With immediate-abort nothing unwinds; the linker only wants to see the library.
	@test -e build/libunwind.a || ar rcs build/libunwind.a
	CC_x86_64_unknown_linux_musl=musl-gcc CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="$(STATIC)" \
	$(DEBIAN) build --locked --release --target $(TARGET) -Zbuild-std=std,panic_abort \
	  -Zbuild-std-features=optimize_for_size --target-dir build/musl -p kubesolo-boot $(FEATURES)
	cp build/musl/$(TARGET)/release/kubesolo-boot $@

build/vmlinuz: image/kernel
	image/kernel build

build/kubesolo-os.gz: $(BINARY) build/vmlinuz image/initramfs $(shell find initramfs -type f)
	image/initramfs --binary $(BINARY) --kernel-modules build/modules --out $@

dist/kubesolo.img: build/kubesolo-os.gz grub/grub.cfg image/build
	image/build --kernel build/vmlinuz --initramfs build/kubesolo-os.gz --out $@

dist/kubesolo-test.img: build/kubesolo-os.gz grub/grub.cfg image/build
	image/build --kernel build/vmlinuz --initramfs build/kubesolo-os.gz --out $@ --size-esp 34 --size-slot 40 --size-data 32
