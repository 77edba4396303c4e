#!/bin/sh
# mutt.sh IN OUT: copy a mailbox into a new Maildir with mutt. Its keys are in a file of settings. It needs a terminal,
# which script(1) gives it, and a standard input that does not end.
set -e
mkdir -p "$2/cur" "$2/new" "$2/tmp"
cat >muttrc <<END
set mbox_type=Maildir confirmappend=no confirmcreate=no delete=no quit=yes wait_key=no
set folder=$PWD resolve=no sleep_time=0 maildir_trash=yes
push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>$2<enter><exit>"
END
mkfifo keys
TERM=xterm timeout 5 script -qec "mutt -n -F muttrc -R -f '$1'" /dev/null <>keys
