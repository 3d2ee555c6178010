//! Drives QEMU for the stories in `tests/`.
