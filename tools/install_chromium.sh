#!/bin/sh
# Installs Debian's chromium for the browser tests, where that can be done without asking anybody anything.
# Always leaves with 0: without a browser those tests are skipped and say so.
set -u

say() { printf 'install_chromium: %s\n' "$*"; }

if command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1; then
    say "chromium is already installed"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    say "no apt-get on this machine, so nothing was installed; install chromium by hand to run the browser tests"
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    say "needs root (or sudo without a password), so nothing was installed; run: sudo apt-get install chromium"
    exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "installing chromium with apt-get (about a minute)"
# chromium's sandbox and crash reporter are separate, recommended packages; headless tests need neither.
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends chromium chromium-driver >"$log" 2>&1
}
# The package lists may be absent (container images) or too old to be found again: refresh them once, then retry.
if install || { $as_root apt-get update >"$log" 2>&1 && install; }; then
    say "installed $(chromium --version 2>/dev/null || echo chromium)"
else
    say "apt-get could not install chromium, so the browser tests will be skipped; its last words:"
    tail -n 5 "$log"
fi
exit 0
