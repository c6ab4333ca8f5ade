#!/bin/sh
# Installs the Debian packages of the named groups (python, play, test) where this user may; otherwise says which.
set -eu

python="python3-venv"
play="g++ libportaudio2 libasound2 libdbus-1-3 libegl1 libfontconfig1 libgl1 libglib2.0-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0
libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxkbcommon-x11-0 fonts-dejavu-core"
test="fluid-soundfont-gm libfluidsynth3 jackd2 xvfb xdotool"

wanted=""
for group in "$@"; do
    eval "wanted=\"\$wanted \$$group\""
done

command -v dpkg-query >/dev/null 2>&1 || exit 0 # not Debian: the program itself says what it misses
if [ "$*" = python ] && "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null; then
    exit 0
fi

missing=""
for package in $wanted; do
    # Debian 13 has libasound2t64 in the place of libasound2.
    if ! dpkg-query -W -f '${db:Status-Abbrev}\n' "$package" "${package}t64" 2>/dev/null | grep -q '^ii'; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    run=""
elif sudo -n true 2>/dev/null; then
    run="sudo"
else
    echo "System packages are missing; install them with: sudo apt-get install$missing"
    exit 0
fi
$run apt-get update -q >/dev/null 2>&1 || true
# shellcheck disable=SC2086 # a list of words
if ! DEBIAN_FRONTEND=noninteractive $run apt-get install -q -y --no-install-recommends $missing >/dev/null 2>&1; then
    echo "Some system packages could not be installed; try: sudo apt-get install$missing"
fi
