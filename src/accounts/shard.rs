//! A share of the accounts for one of several machines.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// One of `count` shards. An account is in the same one, however the list grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0.
    index: u64,
    count: u64,
}

impl Shard {
    /// Returns the shard with all accounts.
    pub(crate) fn all() -> Shard {
        Shard { index: 0, count: 1 }
    }

    /// Parses `I/N`; I counts from 1.
    ///
    /// # Errors
    /// A message for the user.
    pub(crate) fn parse(text: &str) -> Result<Shard, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index: index - 1, count }),
            _ => Err("I/N, such as 3/16, with I from 1 to N, or auto".to_owned()),
        }
    }

    /// Returns the shard of this task, from the variables that Slurm sets in an array and Kubernetes in an indexed Job.
    /// Kubernetes does not tell the number of tasks: JOB_COMPLETIONS has to name it.
    ///
    /// # Errors
    /// A message for the user.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Shard, String> {
        let read = |name: &str| match variable(name) {
            None => Err(format!("{name} is not set")),
            Some(text) => number(&text).ok_or_else(|| format!("{name} is no number: {text}")),
        };
        let (index, count) = match (variable("SLURM_ARRAY_TASK_ID"), variable("JOB_COMPLETION_INDEX")) {
            (Some(_), _) => {
                let (id, min, max) = (
                    read("SLURM_ARRAY_TASK_ID")?,
                    read("SLURM_ARRAY_TASK_MIN")?,
                    read("SLURM_ARRAY_TASK_MAX")?,
                );
                if variable("SLURM_ARRAY_TASK_STEP").is_some_and(|step| step != "1") {
                    return Err("the tasks of the array have a step other than 1".to_owned());
                }
                let range = (min..=max).contains(&id).then(|| (id - min, max - min + 1));
                let (index, count) =
                    range.ok_or("SLURM_ARRAY_TASK_ID is not between its minimum and maximum")?;
                // A list such as --array=1,5 has fewer tasks than numbers.
                match variable("SLURM_ARRAY_TASK_COUNT").is_some_and(|text| number(&text) != Some(count)) {
                    true => return Err("the tasks of the array are not consecutive".to_owned()),
                    false => (index, count),
                }
            }
            (None, Some(_)) => (read("JOB_COMPLETION_INDEX")?, read("JOB_COMPLETIONS")?),
            (None, None) => {
                return Err(
                    "is for an array of Slurm or an indexed Job of Kubernetes; name a shard, such as 3/16"
                        .to_owned(),
                );
            }
        };
        match index < count {
            true => Ok(Shard { index, count }),
            false => Err(format!("the task {index} is none of {count}, which count from 0")),
        }
    }

    /// Reports whether a user is in it.
    pub(crate) fn has(self, user: &OsStr) -> bool {
        let hash = blake3::hash(user.as_bytes());
        let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or_else(|| unreachable!("it has 32"));
        u64::from_le_bytes(*first) % self.count == self.index
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_user_is_in_exactly_one_shard(users: Vec<String>, count in 1..40_u64) {
            let shards: Vec<Shard> = (1..=count).map(|i| Shard::parse(&format!("{i}/{count}")).unwrap()).collect();
            for user in users {
                prop_assert_eq!(shards.iter().filter(|shard| shard.has(user.as_ref())).count(), 1);
            }
        }
    }

    #[test]
    fn shards_are_stable_and_of_similar_size() {
        let of =
            |n: u64| (1..=4).position(|i| Shard { index: i - 1, count: 4 }.has(format!("user{n}").as_ref()));
        // A change of these would convert accounts on other machines after an update.
        assert_eq!((0..8).map(|n| of(n).unwrap()).collect::<Vec<_>>(), [1, 0, 1, 1, 1, 3, 1, 1]);
        let third = Shard::parse("3/10").unwrap();
        let count = (0..10_000).filter(|n| third.has(format!("u{n}").as_ref())).count();
        assert!((900..1100).contains(&count), "{count}");
        assert!(Shard::all().has("anyone".as_ref()));
    }

    #[test]
    fn a_wrong_shard_is_refused() {
        for text in ["0/4", "5/4", "1/0", "/", "1", "a/b", "+1/2", "1/2/3", ""] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_variables_of_slurm_and_kubernetes_give_the_shard() {
        let from = |list: &[(&str, &str)]| {
            let of = |name: &str| list.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            Shard::from_environment(of)
        };
        let slurm = |id: &'static str, count: &'static str| {
            from(&[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", "5"),
                ("SLURM_ARRAY_TASK_MAX", "8"),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ])
        };
        assert_eq!(slurm("5", "4"), Shard::parse("1/4"));
        assert_eq!(slurm("8", "4"), Shard::parse("4/4"));
        assert!(slurm("9", "4").is_err());
        assert!(slurm("5", "2").unwrap_err().contains("not consecutive"));
        assert_eq!(from(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "3")]), Shard::parse("1/3"));
        assert!(from(&[("JOB_COMPLETION_INDEX", "0")]).unwrap_err().contains("JOB_COMPLETIONS is not set"));
        assert!(from(&[]).unwrap_err().contains("name a shard"));
    }
}
