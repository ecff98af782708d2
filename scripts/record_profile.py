"""Records what a profile-guided build is guided by: how often each branch of ferrio is taken while benches/ run.

    python scripts/record_profile.py

Builds the extension for this Python with counters, runs `benches.training` with it, and merges what they have counted
into target/profile/merged.profdata, which `make wheel` gives to the compiler. It needs llvm-profdata of the compiler's
own LLVM: rustup's component llvm-tools has it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "profile"
MERGED = PLACE / "merged.profdata"
COUNTS = PLACE / "counts"


def profdata() -> Path:
    """The program that merges profiles, of the same LLVM as the compiler."""
    described = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in described.splitlines() if line.startswith("host:"))
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    program = Path(sysroot, "lib", "rustlib", host, "bin", "llvm-profdata")
    if not program.exists() and shutil.which("rustup"):
        subprocess.run(["rustup", "component", "add", "llvm-tools"], cwd=ROOT, check=False)
    if not program.exists():
        sys.exit(
            f"record_profile.py: {program} is missing: `rustup component add llvm-tools` installs it; "
            "`make wheel PROFILE_GUIDED=0` does without"
        )
    return program


def build() -> Path:
    """An environment with the extension that counts; its interpreter."""
    flags = f"-Cprofile-generate={COUNTS}"
    environment = os.environ | {"RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(PLACE / "build")}
    # The profile of the build that is to be guided: the names of functions depend on it.
    command = [sys.executable, "-m", "maturin", "build", "--profile", "wheel", "--locked", "--quiet"]
    command += ["--interpreter", sys.executable, "--out", str(PLACE / "wheel")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    subprocess.run([ROOT / "scripts" / "make_venv.sh", sys.executable, PLACE / "venv"], check=True)
    (wheel,) = (PLACE / "wheel").glob("*.whl")
    python = PLACE / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    return python


def main() -> None:
    merge = profdata()
    for name in ("counts", "wheel", "venv"):
        shutil.rmtree(PLACE / name, ignore_errors=True)
    MERGED.unlink(missing_ok=True)
    print("== extension with counters", flush=True)
    python = build()
    print("== training by benches/", flush=True)
    subprocess.run([python, "-m", "benches.training"], cwd=ROOT, check=True)
    subprocess.run([merge, "merge", f"--output={MERGED}", COUNTS], check=True)


if __name__ == "__main__":
    main()
