#!/usr/bin/env bash
# debian_python.sh VERSION: unpacks one of Debian's newest interpreters, with headers, tests and its own C library, next
# to the system, without changing the system. Prints its path; if it cannot be installed, prints the reason and fails.
#
# The packages come from the mirror that apt already uses, are verified by Debian's keys, and are unpacked below
# $FERRIO_PYTHONS (by default ~/.cache/ferrio/pythons), where scripts/matrix.py looks. The script reuses an interpreter
# that is there: remove the directory to get a newer one.
set -euo pipefail

version=$1
pythons=${FERRIO_PYTHONS:-${XDG_CACHE_HOME:-$HOME/.cache}/ferrio/pythons}
tree=$pythons/$version
python=$tree/usr/bin/python$version

give_up() {
    echo "Python $version is not to be had from Debian here: $1" >&2
    exit 1
}

if [ -x "$python" ]; then
    echo "$python"
    exit 0
fi
for command in apt-get dpkg dpkg-deb; do
    command -v "$command" >/dev/null || give_up "there is no $command"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

mirror() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(RELEASE)' "Identifier: Packages" 2>/dev/null \
        | awk '$2 == "Debian" && $3 !~ /security/ { print $1; exit }'
}
uri=$(mirror)
if [ -z "$uri" ]; then
    # In an image without package lists, apt does not know a mirror.
    timeout 120 apt-get -qq update >/dev/null 2>&1 || true
    uri=$(mirror)
fi
[ -n "$uri" ] || give_up "apt knows no mirror of Debian"

mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/packages
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb $([ -e $keys ] && echo "[signed-by=$keys]") $uri sid main" >"$work/sources.list"
own_apt() {
    timeout 600 apt-get -qq -oDir::Etc::sourcelist="$work/sources.list" -oDir::Etc::sourceparts=/dev/null \
        -oDir::State::Lists="$work/lists" -oDir::Cache="$work/cache" -oAPT::Sandbox::User="$(id -un)" \
        -oAcquire::Retries=2 -oAcquire::http::Timeout=30 "$@"
}
own_apt update >"$work/log" 2>&1 || give_up "the package lists cannot be read ($(tail -n 1 "$work/log"))"

wanted="python$version python$version-minimal python$version-dev python$version-venv libpython$version
    libpython$version-minimal libpython$version-stdlib libpython$version-dev libpython$version-testsuite libc6 libgcc-s1
    libstdc++6 libssl3t64 libffi8 zlib1g libexpat1 libsqlite3-0 libbz2-1.0 liblzma5 libzstd1 libuuid1 libreadline8t64
    libtinfo6 libncursesw6 python3-pip-whl media-types tzdata patchelf"
cd "$work/packages"
if ! own_apt download $wanted >"$work/log" 2>&1; then
    # The names of libraries change with their versions. Running the interpreter shows whether a needed one is missing.
    for package in $wanted; do
        own_apt download "$package" >>"$work/log" 2>&1 || true
    done
fi
compgen -G "python${version}_*.deb" >/dev/null || give_up "it has no package python$version now"

# Unpack elsewhere and move it into place when complete, so that a partial interpreter is never found.
mkdir -p "$pythons"
aside=$(mktemp -d "$pythons/.$version-XXXXXX")
trap 'rm -rf "$work" "$aside"' EXIT
for package in *.deb; do
    dpkg-deb -x "$package" "$aside"
done
libraries=$(dirname "$(find "$aside/usr/lib" -name libc.so.6 | head -n 1)")
loader=$(basename "$(find "$libraries" -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)")
here=$tree/${libraries#"$aside/"}
patch() {
    "$libraries/$loader" --library-path "$libraries" "$aside/usr/bin/patchelf" "$@" "$aside/usr/bin/python$version" \
        >>"$work/log" 2>&1 || give_up "its loader cannot be set ($(tail -n 1 "$work/log"))"
}
# DT_RPATH and not RUNPATH, so that the libraries of extension modules are found too. In separate steps and in this
# order, because patchelf 0.18 breaks the file otherwise.
patch --force-rpath --set-rpath "$here"
patch --set-interpreter "$here/$loader"
# Use its own pip: the system's, at the same path, may be too old for it.
sed -i "s|/usr/share/python-wheels/|$tree&|" "$aside/usr/lib/python$version"/_sysconfig{data,_vars}__linux_*
rm -rf "$tree"
mv "$aside" "$tree"
chmod 755 "$tree"
if ! said=$("$python" -c 'import ctypes, sqlite3, ssl, venv' 2>&1); then
    rm -rf "$tree"
    give_up "it does not run (${said##*$'\n'})"
fi
echo "$python"
