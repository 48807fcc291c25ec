#!/bin/sh
# The fence of a mirror (githooks(5), reference-transaction): refs change only for a current holder of the lock that may
# push. Asked in the state `prepared`, when the refs are locked: what passes here is decided before anybody else can
# change them. Installed by Holdfast and put back when it differs. Shell builtins only.
[ "$1" = prepared ] || exit 0
fence="${0%/*}/../../fence"
token=${HOLDFAST_LOCK_TOKEN-}

refuse() {
    printf 'holdfast: %s\n' "$1" >&2
    exit 1
}

holds() {
    case $token in '' | *[!0-9]*) return 1 ;; esac
    while read -r line; do
        [ "$line" = "$token" ] && return 0
    done <"$fence"
    return 1
}

while read -r _ _ ref; do
    case $ref in
    refs/heads/HEAD) refuse 'a branch cannot be called HEAD: push it by its name' ;;
    refs/heads/*) ;;
    HEAD) ;; # comes with the branch that it names, which is in the list too
    *) refuse "$ref is not pushed here: jobs push branches, everything else comes from the remote" ;;
    esac
done
[ -n "$token" ] || refuse 'this push carries no lock token: HOLDFAST_LOCK_TOKEN is not set in its environment'
[ -r "$fence" ] || refuse 'the fence of this mirror is not there yet: push again later'
holds || refuse "lock token $token does not allow to push: the lock was released or taken over, or spec.repository.push is None"
