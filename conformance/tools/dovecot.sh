#!/bin/sh
# dovecot.sh IN OUT: copy a mailbox into a new Maildir with doveadm import. Dovecot reads no mail as root, so for root
# it does so as nobody.
set -e
user=$(id -un)
[ "$user" = root ] && user=nobody
cat >dovecot.conf <<END
base_dir = $PWD/run
state_dir = $PWD/run
mail_location = maildir:$2
mail_uid = $(id -u "$user")
mail_gid = $(id -g "$user")
first_valid_uid = 0
default_internal_user = $user
default_login_user = $user
ssl = no
log_path = /dev/stderr
END
mkdir -p "$2/cur" "$2/new" "$2/tmp" boxes
chown -R "$user" .
if [ -d "$1" ]; then from="maildir:$1"; else from="mbox:$PWD/boxes:INBOX=$1"; fi
USER=$user doveadm -c dovecot.conf import "$from" "" ALL
