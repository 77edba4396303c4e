//! What is recorded of a run for its report while it is reported to the user.

use std::path::Path;

use super::RunReportFile;
use crate::mailbox::{Error, Finding, Result};
use crate::report::RunReport;
use crate::report::findings::FindingTable;

/// A report while the run goes on.
pub(crate) struct Record {
    file: RunReportFile,
    findings: FindingTable,
}

impl Record {
    pub(crate) fn new(file: RunReportFile) -> Record {
        Record { file, findings: FindingTable::default() }
    }

    /// Adds a finding. `path` is that of the mailbox.
    pub(crate) fn add(&mut self, path: &Path, finding: &Finding) {
        self.findings.add(Some(path), finding);
    }

    /// Adds the error that ended the run, or that of a mailbox.
    pub(crate) fn add_error(&mut self, error: &Error) {
        let finding = Finding { message: error.to_string().into(), ..Finding::from(error) };
        self.findings.add(error.path(), &finding);
    }

    /// Writes the report, which lacks only the findings.
    pub(crate) fn write(self, report: RunReport) -> Result<()> {
        self.file.write(RunReport { findings: self.findings.rows(), ..report })
    }
}
