#!/bin/sh
# mblaze.sh IN OUT: copy a mailbox into a new Maildir with mblaze.
set -e
mkdir -p "$2/cur" "$2/new" "$2/tmp"
if [ -d "$1" ]; then
    mlist "$1" | while read -r message; do
        flags=$(printf '%s' "$message" | sed -n 's/.*:2,//p')
        mdeliver -c -X "$flags" "$2" <"$message"
    done
else
    mdeliver -M "$2" <"$1"
fi
