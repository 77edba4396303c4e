//! Certificates of authorities that no system has, made with openssl(1).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::*;

/// An authority with its key, in a directory that only the test can read.
pub(crate) struct Authority {
    directory: TempDir,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Expired,
    SelfSigned,
}

impl Authority {
    /// Makes an authority. Skips the test if openssl is absent.
    pub(crate) fn new() -> Option<Authority> {
        if !have("openssl", &["version"]) {
            skip!("openssl is not here");
        }
        let authority = Authority { directory: scratch() };
        // With one name, two authorities would be one with a bad signature.
        let name = authority.directory.path().file_name().unwrap().to_string_lossy().into_owned();
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout ca.key \
                       -out ca.pem -config ca.conf";
        authority.openssl(request, &name, "CA:TRUE");
        Some(authority)
    }

    /// Returns the file with the certificate of the authority.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Returns a new key and its certificate for a host, in PEM.
    pub(crate) fn issue(&self, host: &str, fault: Fault) -> String {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout leaf.key -config ca.conf";
        let constraints = format!("CA:FALSE\nsubjectAltName = DNS:{host}");
        let days = if fault == Fault::Expired { -1 } else { 30 };
        if fault == Fault::SelfSigned {
            self.openssl(&format!("req -x509 {key} -days {days} -out leaf.pem"), host, &constraints);
        } else {
            self.openssl(&format!("req -new {key} -out leaf.csr"), host, &constraints);
            let signed =
                "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -extfile ca.conf -extensions extensions";
            self.openssl(&format!("{signed} -days {days} -out leaf.pem"), host, &constraints);
        }
        self.read("leaf.key") + &self.read("leaf.pem")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// Runs openssl with these options, for this subject and these constraints.
    #[track_caller]
    fn openssl(&self, options: &str, subject: &str, constraints: &str) {
        let configuration = format!(
            "[req]\ndistinguished_name = name\nx509_extensions = extensions\nprompt = no\n\
             [name]\nCN = {subject}\n[extensions]\nbasicConstraints = critical, {constraints}\n"
        );
        fs::write(self.directory.path().join("ca.conf"), configuration).unwrap();
        let mut command = Command::new("openssl");
        command.args(options.split_whitespace()).current_dir(self.directory.path());
        run(command).exits(0);
    }
}
