//! Hands the linker `first.ld`, the order of the functions, where mq is built with musl: the flags of `config.toml` are no
//! place for it, since cargo joins those of a checkout to those of the checkout it lies in, and ld(1) ends with an error when
//! it is given a script twice.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=.cargo/first.ld");
    println!("cargo::rerun-if-changed=.cargo/build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        let root = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
        println!("cargo::rustc-link-arg-bin=mq=-T");
        println!("cargo::rustc-link-arg-bin=mq={root}/.cargo/first.ld");
    }
}
