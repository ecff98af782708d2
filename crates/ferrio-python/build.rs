//! Links the extension so that profilers can unwind it: segments lie in memory as they lie in the file.
//!
//! Rust's own linker otherwise gives a segment another address than its offset, and unwinders that read the tables of
//! another process, such as py-spy's libunwind, look for them at the wrong place: after one frame they give up. The
//! price is a few kilobytes of padding. GNU's linker does so by itself, and ignores the option.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,separate-loadable-segments");
    }
}
