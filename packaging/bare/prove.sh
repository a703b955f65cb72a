#!/bin/sh
# Proves on bare Debian systems that a fresh clone needs nothing but python3, git and ca-certificates: makes the systems
# with debootstrap in a temporary folder, clones HEAD into each, and there does what a newcomer does. Run it as root.
#
#     prove.sh [--suite bookworm|trixie]... [--as root|newcomer]... [--mirror URL] [--keep FOLDER] [COMMAND...]
#
# COMMAND is what is proven, in this order; `start` means: ./run until it welcomes, Ctrl-C, nothing left, and once more.
# Anything else is given to ./run as it is: `test`, 'test tests/base', doctor. Default: start test, on both suites, as
# root and as an ordinary user. --keep leaves the untouched systems in FOLDER for the next time, and what a failure said.
#
# The mirror is that of this machine's apt; apt's options, pip's configuration (files and PIP_…), certificates and
# proxies of this machine are passed on where it has them.
set -eu

OFFSET=700
PACKAGES=python3,git,ca-certificates
NEWCOMER=newcomer

say() { printf '%s\n' "prove: $*"; }
stop() { say "$*" >&2; exit 2; }

suites='' users='' mirror='' keep=''
while [ $# -gt 0 ]; do
    case $1 in
    --suite) suites="$suites ${2:?}"; shift 2 ;;
    --as) users="$users ${2:?}"; shift 2 ;;
    --mirror) mirror=${2:?}; shift 2 ;;
    --keep) keep=${2:?}; shift 2 ;;
    -h | --help) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) stop "$1 is not an option; --help lists them" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- start test
[ "$(id -u)" = 0 ] || stop "only root can make a system inside this one"
for program in debootstrap git unshare setsid; do
    command -v "$program" >/dev/null || stop "$program is missing. Type: apt-get install -y debootstrap git util-linux"
done
repository=$(git -C "$(dirname -- "$0")" rev-parse --show-toplevel)
work=$(mktemp -d)
system='' # the one in use
trap finish EXIT
trap 'exit 130' INT TERM HUP

inhabitants() { # the processes that live in $system
    for entry in /proc/[0-9]*; do
        if [ "$entry/root" -ef "$system" ]; then echo "${entry#/proc/}"; fi
    done 2>/dev/null
}

finish() {
    if [ -n "$system" ]; then
        for pid in $(inhabitants); do kill -9 "$pid" 2>/dev/null || :; done
    fi
    rm -rf "$work"
}

mirror_of() { # suffix: where this machine's apt gets main of its release with that suffix ('', -security)
    release=$(. /etc/os-release && echo "$VERSION_CODENAME$1")
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$release" '$1 == release && $2 == "main" { print $3; exit }'
}

make_system() { # suite, folder: minbase and the three packages, and this machine's way to packages
    suite=$1 folder=$2
    [ -n "$mirror" ] || mirror=$(mirror_of '')
    [ -n "$mirror" ] || stop "apt of this machine names no mirror for its own release; give one with --mirror"
    say "making a bare $suite"
    rm -rf "$folder.part"
    debootstrap --variant=minbase --include="$PACKAGES" "$suite" "$folder.part" "$mirror" >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        stop "debootstrap failed"
    }
    security=$(mirror_of -security)
    {
        echo "deb $mirror $suite main"
        echo "deb $mirror $suite-updates main"
        if [ -n "$security" ]; then echo "deb $security $suite-security main"; fi
    } >"$folder.part/etc/apt/sources.list"
    for options in /etc/apt/apt.conf.d/*; do # not those that call programs which only this machine has
        if [ -f "$options" ] && [ ! -e "$folder.part$options" ] && ! grep -q Invoke "$options"; then
            cp "$options" "$folder.part$options"
        fi
    done
    copy_pip_configuration /etc/pip.conf "$folder.part/etc"
    if cp -r /usr/local/share/ca-certificates/. "$folder.part/usr/local/share/ca-certificates" 2>/dev/null; then
        chroot "$folder.part" update-ca-certificates >/dev/null 2>&1
    fi
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$folder.part/etc/hosts" # as the installer writes it
    chroot "$folder.part" useradd --create-home --shell /bin/sh "$NEWCOMER"
    mv "$folder.part" "$folder"
}

copy_pip_configuration() { # file, folder: without what names folders of this machine
    if [ -f "$1" ]; then
        mkdir -p "$2"
        grep -v 'file:\|find-links' "$1" >"$2/pip.conf" || :
    fi
}

home_of() { if [ "$1" = root ]; then echo /root; else echo "/home/$1"; fi; }

inside() { # user, command: in $system with its own /proc and /dev, with the environment of a fresh login
    who=$1 what=$2
    home=$(home_of "$who")
    set -- HOME="$home" USER="$who" LOGNAME="$who" TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    for name in $(env | sed -n 's/^\(PIP_[A-Z_]*\|https\{0,1\}_proxy\|no_proxy\)=.*/\1/p'); do
        eval "value=\$$name"
        case $value in /*) [ -e "$system$value" ] || continue ;; esac
        set -- "$@" "$name=$value"
    done
    # A shell's background process ignores Ctrl-C; one that a person starts does not.
    exec setsid env --default-signal=INT,QUIT unshare -m sh -c '
        mount -t proc proc "$1/proc" && mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/dev/pts" &&
            mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" || exit 3
        system=$1 who=$2 what=$3; shift 3
        exec chroot --userspec="$who:$who" "$system" env -i "$@" sh -c "$what"
    ' prove "$system" "$who" "cd && $what" "$@"
}

as_told() { # what was printed: types, as root, the lines that ./run asked for; false when there is none
    sed -n 's/^run: *\(apt-get .*\)$/\1/p' "$1" >"$work/lines"
    [ -s "$work/lines" ] || return 1
    while read -r line; do
        say "as root, as told: $line"
        (inside root "$line") </dev/null >"$work/told.log" 2>&1 || { tail -n 20 "$work/told.log" >&2; stop "that failed"; }
    done <"$work/lines"
}

fail() { # what, file: shows the end of the output, and keeps all of it
    tail -n 60 "$2" >&2
    if [ -n "$keep" ]; then cp "$2" "$keep/failed.log"; fi
    say "FAILED on $suite as $user: $1" >&2
    exit 1
}

nothing_left() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        left=$(inhabitants)
        [ -n "$left" ] || return 0
        sleep 0.2
    done
    for pid in $left; do say "still there: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")" >&2; done
    return 1
}

prove_start() { # which: starts as $user, waits for the welcome, sends what Ctrl-C sends
    out=$work/output
    : >"$out"
    began=$(date +%s)
    (inside "$user" "cd tollkeeper && exec ./run --port-offset $OFFSET") </dev/null >"$out" 2>&1 &
    group=$!
    until grep -q 'Ctrl-C stops everything' "$out"; do
        if ! kill -0 "$group" 2>/dev/null; then
            code=0
            wait "$group" || code=$?
            if [ "$code" = 2 ] && as_told "$out"; then
                prove_start "$1"
                return
            fi
            fail "./run ended with $code" "$out"
        fi
        [ $(($(date +%s) - began)) -lt 600 ] || fail "./run did not welcome anybody for ten minutes" "$out"
        sleep 0.2
    done
    up=$(($(date +%s) - began))
    asked=$(date +%s)
    kill -s INT -- "-$group"
    code=0
    wait "$group" || code=$?
    [ "$code" = 0 ] || fail "after Ctrl-C ./run ended with $code" "$out"
    nothing_left || fail "Ctrl-C left processes behind" "$out"
    say "$suite as $user: $1 start welcomed after $up s, ended within $(($(date +%s) - asked)) s of Ctrl-C, left nothing"
    sed -n 's/^Tollkeeper is up/    &/p; s/^run: going on without/    &/p' "$out"
}

prove() { # a command, in $system as $user
    case $1 in
    start)
        prove_start first
        prove_start second
        ;;
    *)
        out=$work/output
        while :; do
            began=$(date +%s) code=0
            (inside "$user" "cd tollkeeper && exec ./run $1") </dev/null >"$out" 2>&1 || code=$?
            if [ "$code" = 0 ]; then break; fi
            if [ "$code" != 2 ] || ! as_told "$out"; then fail "./run $1 ended with $code" "$out"; fi
        done
        nothing_left || fail "./run $1 left processes behind" "$out"
        say "$suite as $user: ./run $1 passed in $(($(date +%s) - began)) s"
        tail -n 3 "$out" | sed 's/^/    /'
        ;;
    esac
}

main() {
    for suite in ${suites:-bookworm trixie}; do
        pristine=${keep:-$work}/$suite
        if [ -n "$keep" ]; then mkdir -p "$keep"; fi
        [ -d "$pristine" ] || make_system "$suite" "$pristine"
        for user in ${users:-root "$NEWCOMER"}; do
            system=$work/$suite-$user
            cp -a "$pristine" "$system"
            home=$system$(home_of "$user")
            git clone -q --no-hardlinks "$repository" "$home/tollkeeper"
            copy_pip_configuration "$HOME/.config/pip/pip.conf" "$home/.config/pip"
            chroot "$system" chown -R "$user:$user" "$(home_of "$user")"
            for each in "$@"; do prove "$each"; done
            rm -rf "$system"
            system=''
        done
    done
    say "all of it holds"
}

main "$@"; exit # on one line: this file may change while it runs
