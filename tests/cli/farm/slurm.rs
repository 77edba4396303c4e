//! Slurm with one node, in namespaces of its own.

use std::time::Duration;

use crate::mta::sandbox::Sandbox;
use crate::support::*;

/// The node has more processors than the machine, so that tasks run at once anywhere.
const CONFIGURATION: &str = "\
ClusterName=farm
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0
NodeName=localhost CPUs=8 State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
";

/// getaddrinfo(3) finds nothing to listen on if 127.0.0.1 is the only address.
const START: &str = "
ip addr add 127.0.0.2/8 dev lo
mkdir -p /etc/munge /var/lib/munge /var/log/munge /run/munge /var/spool/slurmctld /var/spool/slurmd
head -c 64 /dev/urandom >/etc/munge/munge.key
chmod 700 /etc/munge /var/lib/munge /var/log/munge
chmod 400 /etc/munge/munge.key
chown -R munge:munge /etc/munge /var/lib/munge /var/log/munge /run/munge
setpriv --reuid munge --regid munge --clear-groups munged
slurmctld
slurmd
";

pub(super) struct Slurm<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> Slurm<'a> {
    /// Starts the servers, which end with the sandbox. Skips the test if they are absent.
    pub(super) fn start(sandbox: &'a Sandbox) -> Option<Slurm<'a>> {
        let missing = "for program in munged slurmctld slurmd sbatch; do command -v $program >/dev/null || echo $program; done";
        let missing = sandbox.sh(missing);
        if !missing.is_empty() {
            skip!("Slurm is not here: {}", missing.trim().replace('\n', ", "));
        }
        sandbox.write("/etc/slurm/slurm.conf", CONFIGURATION);
        // Servers that kept the pipes would keep `sh` from its end.
        sandbox.sh(&format!("exec >/var/log/start 2>&1\n{START}"));
        sandbox.until("a node", || sandbox.sh("sinfo -h -o %T || :").starts_with("idle").then_some(()));
        Some(Slurm { sandbox })
    }

    /// Submits a script, and returns the number of the job.
    pub(super) fn submit(&self, script: &str) -> String {
        self.sandbox.sh(&format!("sbatch --parsable {script}")).trim().to_owned()
    }

    /// Tells whether all tasks of a job have ended.
    pub(super) fn has_ended(&self, job: &str) -> bool {
        std::thread::sleep(Duration::from_millis(50));
        self.sandbox.sh(&format!("squeue -h -j {job}")).is_empty()
    }

    /// Returns the exit codes and signals of the tasks of a job that has ended, such as `1:0`.
    pub(super) fn exits(&self, job: &str) -> Vec<String> {
        let tasks = self.sandbox.sh(&format!("scontrol --oneliner show job {job}"));
        let exits = tasks.lines().filter_map(|line| line.split_once(" ExitCode=")?.1.split(' ').next());
        exits.map(str::to_owned).collect()
    }
}

#[test]
fn an_array_of_slurm_runs_one_task_per_number() {
    let Some(sandbox) = Sandbox::new() else { return };
    let Some(slurm) = Slurm::start(&sandbox) else { return };
    sandbox.write(
        "/srv/job",
        "#!/bin/sh\n#SBATCH --array=1-3\n#SBATCH --output=/srv/out\nexit $SLURM_ARRAY_TASK_ID\n",
    );
    let job = slurm.submit("/srv/job");
    wait_for("the job", || slurm.has_ended(&job));
    let mut exits = slurm.exits(&job);
    exits.sort();
    assert_eq!(exits, ["1:0", "2:0", "3:0"]);
}
