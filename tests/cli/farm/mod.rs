//! Many accounts with the engines that sites have: the recipes of docs/admin.md, run as they are printed there.
//! The accounts, the servers and the network are in namespaces that need root.

mod accounts;
mod lists;
mod many;
mod slurm;

/// The directory with the list, the results and the logs.
const MOVE: &str = "/srv/move";

/// Returns a recipe that waits only briefly for a locked mailbox.
fn impatient(recipe: &str) -> String {
    let (before, after) = recipe.split_once("--lock-timeout 10").expect("the recipe has a lock timeout");
    format!("{before}--lock-timeout 1{after}")
}
