//! A provider of mail: Postfix takes mail from its users on the submission ports, and Dovecot checks passwords.

use std::path::{Path, PathBuf};

use super::postfix::Postfix;
use super::sandbox::{JOE, Sandbox};
use crate::certificates::{Authority, Fault};
use crate::recorder::Recorder;
use crate::support::*;

/// The password of the user joe at the provider.
pub(super) const PASSWORD: &str = "correct horse \u{e9} battery";

/// Submission with STARTTLS.
pub(super) const SUBMISSION: u16 = 587;
/// Submission where TLS begins at once.
pub(super) const SMTPS: u16 = 465;

const MAIN: &str = "
mailbox_command = /usr/local/bin/mailferry deliver \"$HOME/Maildir/\"
virtual_alias_domains = example.org
virtual_alias_maps = inline:{ { joe@example.org = joe@mx.example.org } }
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_tls_auth_only = yes
smtpd_tls_loglevel = 1
";

const DOVECOT: &str = "
base_dir = /run/dovecot
log_path = /var/log/dovecot.log
protocols =
ssl = no
passdb {
  driver = passwd-file
  args = scheme=plain username_format=%u /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/var/vmail
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
";

/// A port of the provider.
pub(super) struct Port {
    pub number: u16,
    /// The certificate's host and fault.
    pub certificate: (&'static str, Fault),
    /// Settings of Postfix for this port.
    pub settings: &'static [&'static str],
}

pub(super) struct Provider {
    pub server: Postfix,
    /// The authority of all certificates, which the system accepts.
    pub authority: Authority,
    /// The Maildir of joe, who sends to himself.
    pub maildir: PathBuf,
}

impl Provider {
    /// Starts with the two usual ports.
    pub(super) fn new() -> Option<Provider> {
        Provider::with(&[], "plain login")
    }

    /// Starts with further ports and these mechanisms of authentication.
    pub(super) fn with(more: &[Port], mechanisms: &str) -> Option<Provider> {
        if !Path::new("/usr/lib/dovecot/auth").exists() {
            skip!("Dovecot is not here");
        }
        let authority = Authority::new()?;
        let usual = [SUBMISSION, SMTPS].map(|number| Port {
            number,
            certificate: ("mail.example.org", Fault::None),
            settings: if number == SMTPS { WRAPPED } else { STARTTLS },
        });
        let ports = || usual.iter().chain(more);
        let pem = |port: &Port| format!("/etc/ssl/{}.pem", port.number);
        let master = ports().map(|port| {
            let settings =
                port.settings.iter().map(|setting| format!("  -o {setting}\n")).collect::<String>();
            let certificate = format!("  -o smtpd_tls_chain_files={}\n", pem(port));
            format!("127.0.0.1:{} inet n - n - - smtpd\n{certificate}{settings}", port.number)
        });
        let files = [("/etc/postfix/master.cf", master.collect()), ("/etc/postfix/main.cf", MAIN.to_owned())];
        let server = Postfix::start(files.into_iter().map(|(path, text)| (path.to_owned(), text)))?;
        let provider =
            Provider { maildir: server.sandbox.maildir("/home/joe/Maildir", JOE), server, authority };
        let (sandbox, authority) = (provider.sandbox(), &provider.authority);
        for port in ports() {
            let (host, fault) = port.certificate;
            sandbox.write(pem(port), authority.issue(host, fault));
        }
        sandbox.write("/etc/ssl/certs/ca-certificates.crt", std::fs::read(authority.root()).unwrap());
        sandbox.write("/etc/dovecot/users", format!("joe@example.org:{PASSWORD}\n"));
        sandbox.write("/etc/dovecot/dovecot.conf", format!("auth_mechanisms = {mechanisms}\n{DOVECOT}"));
        sandbox.write("/home/joe/password", format!("{PASSWORD}\n"));
        sandbox.sh("chown joe /home/joe/password; chmod 600 /home/joe/password; mkdir -p /run/dovecot
            dovecot >/var/log/start 2>&1");
        ports().for_each(|port| provider.server.listens(port.number));
        Some(provider)
    }

    pub(super) fn sandbox(&self) -> &Sandbox {
        &self.server.sandbox
    }

    /// Starts a recorder in front of a port.
    pub(super) fn recorder(&self, port: u16) -> Recorder {
        Recorder::new(&self.sandbox().network(), port)
    }
}

/// Settings of a port where TLS begins at once.
pub(super) const WRAPPED: &[&str] = &["smtpd_tls_wrappermode=yes", "smtpd_tls_security_level=encrypt"];
/// Settings of a port that requires STARTTLS.
pub(super) const STARTTLS: &[&str] = &["smtpd_tls_security_level=encrypt"];
