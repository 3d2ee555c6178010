//! Core of kubesolo-boot.
#![no_std]
#![forbid(unsafe_code)]
