"""The sources of projects that leave their tests out of their source distributions, from Debian's archive.

apt fetches them from the mirror that it uses anyway, without changing the system. They are those of a stable release,
which stay in the archive for years, and a hash pins them.
"""

import getpass
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

RELEASE = "trixie"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def fetch(package: str, version: str, digest: str, archive: Path) -> None:
    """Writes the archive of that version's original sources, a .tar.gz file with this SHA-256.

    Raises LookupError, which says why, if it is not to be had.
    """
    if shutil.which("apt-get") is None:
        raise LookupError(f"the sources of {package} come from Debian by apt-get, which is not here")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        signed = f"[signed-by={KEYS}] " if KEYS.exists() else ""
        (folder / "sources.list").write_text(f"deb-src {signed}{_mirror()} {RELEASE} main\n", encoding="utf-8")
        apt = ["apt-get", "-qq", f"-oDir::Etc::sourcelist={folder}/sources.list", "-oDir::Etc::sourceparts=/dev/null"]
        apt += [
            f"-oDir::State::Lists={folder}/lists",
            f"-oDir::Cache={folder}/cache",
            f"-oAPT::Sandbox::User={getpass.getuser()}",
        ]
        # Debian's own patches need not be there, only the original.
        for command in (["update"], ["source", "--tar-only", "--download-only", f"{package}={version}"]):
            told = subprocess.run([*apt, *command], cwd=folder, capture_output=True, text=True, check=False)
        found = list(folder.glob("*.orig.tar.gz"))
        if not found:
            raise LookupError(f"Debian's archive does not give the sources of {package}: {told.stderr.strip()}")
        content = found[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise LookupError(f"the sources of {package} from Debian are not those that are pinned")
    archive.write_bytes(content)


def _mirror() -> str:
    """The address of the mirror that apt uses for Debian's releases."""
    listing = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(RELEASE)", "Identifier: Packages"]
    told = subprocess.run(listing, capture_output=True, text=True, check=False).stdout
    for line in told.splitlines():
        uri, origin, release = [*line.split(maxsplit=2), "", "", ""][:3]
        if origin == "Debian" and "security" not in release:
            return uri
    return "http://deb.debian.org/debian"
