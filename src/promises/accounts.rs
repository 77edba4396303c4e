use crate::accounts::list::{AccountList, ListedAccount};
use crate::accounts::result::AccountResult;
use crate::accounts::results::file_name;
use crate::accounts::template::Templates;

/// Any bytes are a list of accounts or an error. The users of a list are different, and none is a path.
pub fn accounts(data: &[u8]) {
    let words = ["/m/%u".into(), "%h/%%".into()];
    let templates = Templates::new(words.to_vec()).unwrap_or_else(|e| panic!("{e}"));
    let check = |account: &ListedAccount| templates.check(account);
    if let Ok(list) = AccountList::new(data.to_vec(), "list", check) {
        let mut names = std::collections::HashSet::new();
        for account in list.accounts() {
            let name = file_name(&account.user);
            assert!(!name.as_encoded_bytes().contains(&b'/') && name.len() < 230);
            assert!(names.insert(name), "two users with one name of a result");
            let filled = templates.fill(account, |_| Ok(b"/home".to_vec()));
            assert!(filled.is_ok_and(|account| !account.sources.is_empty()));
        }
        assert_eq!(names.len(), list.len);
    }
    if let Ok(result) = AccountResult::parse(data) {
        assert!(AccountResult::parse(result.to_line().as_bytes()).is_ok());
    }
}
