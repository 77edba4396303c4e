#!/usr/bin/env python3
"""python.py IN OUT: copy a mailbox into a new Maildir with Python's mailbox module."""

import mailbox
import os
import sys

source, target = sys.argv[1:]
box = mailbox.Maildir(source, create=False) if os.path.isdir(source) else mailbox.mbox(source, create=False)
out = mailbox.Maildir(target, create=True)
for message in box:
    out.add(mailbox.MaildirMessage(message))
