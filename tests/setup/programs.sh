#!/bin/sh
# Sees that the programs are there which tests need besides Python: programs.sh PROGRAM...
# What is missing is installed as a package of Debian, by root or with a sudo that does not ask.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # servers are there, and it is on root's path alone

missing=
for program in "$@"; do
    command -v "$program" >/dev/null && continue
    case $program in
        ip) missing="$missing iproute2" ;;
        systemd-analyze) missing="$missing systemd" ;;
        *) missing="$missing $program" ;;
    esac
done
[ -n "$missing" ] || exit 0

give_up() {
    echo "the tests need$missing, which could not be installed: $1." >&2
    echo "On Debian and Ubuntu: sudo apt-get install$missing" >&2
    echo "Elsewhere: install it as its makers say, and put it on the PATH." >&2
    exit 1
}

command -v apt-get >/dev/null || give_up "there is no apt-get"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    give_up "you are not root, and sudo asks for a password"
fi

echo "installing$missing, once"
# shellcheck disable=SC2086 # lists of words
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }
apt update || true # one source of many may be out of reach
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing >/dev/null || give_up "see above"

# Packages of servers start a service that listens to everybody. Tests start servers of their own.
for package in $missing; do
    if [ -d /run/systemd/system ]; then
        $as_root systemctl disable --now "$package" >/dev/null 2>&1 || true
    elif [ -x "/etc/init.d/$package" ]; then
        $as_root "/etc/init.d/$package" stop >/dev/null 2>&1 || true
    fi
done
