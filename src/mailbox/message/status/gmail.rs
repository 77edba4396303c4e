//! X-Gmail-Labels, which Google Takeout adds to every message: a list of labels. Some are those of Gmail itself.
//!
//! Labels of Gmail itself are in the language of the account. The file does not name the language, so all languages
//! are recognized at once. A user label with the name of a Gmail label in another language is mistaken for that.
//!
//! Takeout labels what is unread, so a message without that label was read. That holds only if its word is known. With
//! a label that no language has, the other labels must show which language it is: [`LabelSurvey`].

use std::collections::HashMap;
use std::sync::LazyLock;

use super::gmail_words::{CATEGORIES, CATEGORY, LANGUAGES};
use super::list;
use crate::mailbox::message::header;

/// The meaning of a label of Gmail itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SystemLabel {
    Inbox,
    Sent,
    Draft,
    Spam,
    Trash,
    Starred,
    Important,
    Unread,
    Opened,
    /// Not in a folder of Gmail.
    Archived,
    Chat,
    /// A tab of the inbox.
    Category,
}

/// The labels of which each language has words, in the order of [`Language::labels`](super::gmail_words::Language).
const WITH_WORDS: [SystemLabel; 11] = [
    SystemLabel::Inbox,
    SystemLabel::Sent,
    SystemLabel::Draft,
    SystemLabel::Spam,
    SystemLabel::Trash,
    SystemLabel::Starred,
    SystemLabel::Important,
    SystemLabel::Unread,
    SystemLabel::Opened,
    SystemLabel::Archived,
    SystemLabel::Chat,
];

impl SystemLabel {
    /// Reports whether the word shows the language. Others are similar in many languages.
    fn shows_language(self) -> bool {
        !matches!(
            self,
            SystemLabel::Spam | SystemLabel::Important | SystemLabel::Chat | SystemLabel::Category
        )
    }
}

/// A set of [`LANGUAGES`], by index.
type LanguageSet = u64;

/// The languages whose word for unread is certain.
fn certain_languages() -> LanguageSet {
    let certain = LANGUAGES.iter().enumerate().filter(|(_, language)| language.unread_is_certain);
    certain.fold(0, |set, (n, _)| set | 1 << n)
}

#[derive(Debug, Clone, Copy)]
struct Word {
    label: SystemLabel,
    languages: LanguageSet,
}

/// Whether a message is read, by its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReadState {
    Read,
    /// A label of it may mean unread, in a language that its other labels do not show.
    Unknown,
    Unread,
}

/// Parses the value of an X-Gmail-Labels field. Encoded words are decoded first, since Takeout encodes the whole list
/// with its commas. Then the list is split at commas that are not quoted.
pub(crate) fn parse_labels(value: &[u8]) -> Vec<String> {
    list::split_labels(&header::decode_text(value))
}

/// Returns the meaning of a label of Gmail; `None` for a user label.
pub(crate) fn system_label(label: &str) -> Option<SystemLabel> {
    word(label).map(|word| word.label)
}

fn word(label: &str) -> Option<Word> {
    static WORDS: LazyLock<HashMap<String, Word>> = LazyLock::new(|| {
        let mut words: HashMap<String, Word> = HashMap::new();
        for (n, language) in LANGUAGES.iter().enumerate() {
            for (label, names) in WITH_WORDS.into_iter().zip(language.labels) {
                for name in names.split('|') {
                    let word = words.entry(plain(name)).or_insert(Word { label, languages: 0 });
                    word.languages |= LanguageSet::from(word.label == label) << n;
                }
            }
        }
        words
    });
    let plain = plain(label);
    let word = WORDS.get(plain.as_str()).copied();
    word.or_else(|| is_category(&plain).then_some(Word { label: SystemLabel::Category, languages: 0 }))
}

/// The labels of a message as evidence.
#[derive(Debug, Default)]
struct Evidence {
    /// The languages that all its labels fit that show one.
    languages: LanguageSet,
    has_user_label: bool,
    is_unread: bool,
    is_opened: bool,
}

impl Evidence {
    fn of(labels: &[String]) -> Evidence {
        let mut evidence = Evidence { languages: LanguageSet::MAX, ..Evidence::default() };
        let mut shows_language = false;
        for label in labels {
            let Some(word) = word(label) else {
                evidence.has_user_label = true;
                continue;
            };
            evidence.is_unread |= word.label == SystemLabel::Unread;
            evidence.is_opened |= word.label == SystemLabel::Opened;
            if word.label.shows_language() {
                shows_language = true;
                evidence.languages &= word.languages;
            }
        }
        if !shows_language {
            evidence.languages = 0;
        }
        evidence
    }
}

/// Returns the state of a message by its labels alone.
pub(crate) fn read_state(labels: &[String]) -> ReadState {
    let evidence = Evidence::of(labels);
    if evidence.is_unread {
        ReadState::Unread
    } else if evidence.is_opened || !evidence.has_user_label || evidence.languages & certain_languages() != 0
    {
        ReadState::Read
    } else {
        ReadState::Unknown
    }
}

/// The labels of all messages of a file, which show its language.
#[derive(Debug)]
pub(crate) struct LabelSurvey {
    messages: u64,
    /// The messages whose labels fit each language.
    votes: [u64; LANGUAGES.len()],
    /// The languages whose word for unread is in the file.
    unread: LanguageSet,
}

impl LabelSurvey {
    /// Reads the values of X-Gmail-Labels, one of each message.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> LabelSurvey {
        let mut survey = LabelSurvey { messages: 0, votes: [0; LANGUAGES.len()], unread: 0 };
        for value in values {
            let labels = parse_labels(value);
            let evidence = Evidence::of(&labels);
            survey.messages += u64::from(!labels.is_empty());
            for (n, votes) in survey.votes.iter_mut().enumerate() {
                *votes += evidence.languages >> n & 1;
            }
            if evidence.is_unread {
                survey.unread |= evidence.languages;
            }
        }
        survey
    }

    /// Reports whether the word for unread is known in the language of more than half of the messages.
    pub(crate) fn is_unread_known(&self) -> bool {
        let known = certain_languages() | self.unread;
        let is_known = |(n, &votes): (usize, &u64)| known >> n & 1 != 0 && votes * 2 > self.messages;
        self.votes.iter().enumerate().any(is_known)
    }
}

fn is_category(plain: &str) -> bool {
    let is_one_of = |names: &str, word| names.split('|').any(|name| name == word);
    plain.split_once(' ').is_some_and(|(word, name)| is_one_of(CATEGORY, word) && is_one_of(CATEGORIES, name))
}

/// Returns a label in lower case, with one blank between its words. No-break blanks, colons and quotes count as
/// blanks.
fn plain(label: &str) -> String {
    let lower = label.to_lowercase().replace('\u{2019}', "'");
    let words =
        lower.split(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '"' | '«' | '»' | '「' | '」'));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_decoded_before_they_are_split() {
        for (value, want) in [
            (" Inbox,\"Work, urgent\",Starred", &["Inbox", "Work, urgent", "Starred"][..]),
            (" =?UTF-8?Q?Arch=C3=A9,Unread?=", &["Arché", "Unread"]),
            (
                " =?UTF-8?Q?Messages_archiv=C3=A9s,Ouvert,Cat=C3=A9gorie=C2=A0:_E-mails_?=\r\n \
                 =?UTF-8?Q?personnels,\"Culture,_associations,_=C3=A9v=C3=A9nements\"?=",
                &[
                    "Messages archivés",
                    "Ouvert",
                    "Catégorie\u{a0}: E-mails personnels",
                    "Culture, associations, événements",
                ],
            ),
            (
                " =?UTF-8?Q?Posteingang,Kategorie:_=22Neuigkeiten=22,=22a,=22=22b=22?=",
                &["Posteingang", "Kategorie: \"Neuigkeiten\"", "a,\"b"],
            ),
            (" =?utf-8?B?5Y+X5L+h44OI44Os44KkLOacquiqrQ==?=", &["受信トレイ", "未読"]),
            (" A,, B ,", &["A", "B"]),
            (" \"never, closed", &["\"never", "closed"]),
            ("", &[]),
        ] {
            assert_eq!(parse_labels(value.as_bytes()), want, "{value}");
        }
    }

    /// The names in each language: unread, starred, draft, trash, inbox, and a category.
    #[test]
    fn gmails_own_labels_are_known_in_ten_languages() {
        use SystemLabel::*;
        let meanings =
            [Unread, Starred, Draft, Trash, Inbox, Sent, Spam, Important, Opened, Archived, Category];
        for names in [
            "Unread|Starred|Drafts|Trash|Inbox|Sent|Spam|Important|Opened|Archived|Category Personal",
            "Ungelesen|Markiert|Entwürfe|Papierkorb|Posteingang|Gesendet|Spam|Wichtig|Geöffnet|Archiviert|\
             Kategorie: \"Soziale Medien\"",
            "Non lus|Suivis|Brouillons|Corbeille|Boîte de réception|Envoyé|Spam|Important|Ouvert|\
             Messages archivés|Catégorie\u{a0}: Réseaux sociaux",
            "No leídos|Destacados|Borradores|Papelera|Recibidos|Enviados|Spam|Importante|Abierto|Archivado|\
             Categoría: Promociones",
            "Não lidas|Com estrela|Rascunhos|Lixeira|Caixa de entrada|Enviados|Spam|Importante|Aberto|\
             Arquivado|Categoria: Promoções",
            "Da leggere|Speciali|Bozze|Cestino|Posta in arrivo|Inviati|Spam|Importanti|Aperto|Archiviati|\
             Categoria: Aggiornamenti",
            "Ongelezen|Met ster|Concepten|Prullenbak|Postvak IN|Verzonden|Spam|Belangrijk|Geopend|\
             Gearchiveerd|Categorie: Reclame",
            "Nieprzeczytane|Oznaczone gwiazdką|Wersje robocze|Kosz|Odebrane|Wysłane|Spam|Ważne|Otwarte|\
             Zarchiwizowane|Kategoria: Społeczności",
            "Непрочитанные|Помеченные|Черновики|Корзина|Входящие|Отправленные|Спам|Важное|Открытые|\
             Архивированные|Категория \"Промоакции\"",
            "未読|スター付き|下書き|ゴミ箱|受信トレイ|送信済み|迷惑メール|重要|開封済み|アーカイブ済み|\
             カテゴリ: フォーラム",
        ] {
            let found: Vec<_> = names.split('|').map(|name| system_label(name.trim())).collect();
            assert_eq!(found, meanings.map(Some), "{names}");
        }
        for own in
            ["Work", "Category theory", "Categories", "Archive", "Inbox/old", "Concept", "Kategorie: Miete"]
        {
            assert_eq!(system_label(own), None, "{own}");
        }
    }

    #[test]
    fn a_message_is_read_only_if_gmails_word_for_unread_is_known() {
        use ReadState::*;
        for (value, state) in [
            ("Inbox,Unread", Unread),
            ("Inbox,Work", Read),
            ("Posteingang,Arbeit", Read),
            ("=?UTF-8?Q?=C3=85pnet,Kategori:_Reklame?=", Read),
            ("=?UTF-8?Q?Inkorg,Ol=C3=A4st?=", Unread),
            ("=?UTF-8?Q?=E6=94=B6=E4=BB=B6=E5=8C=A3,=E6=9C=AA=E8=AE=80=E9=83=B5=E4=BB=B6?=", Unread),
            ("Gelen Kutusu", Read),
            // The other label may be the word for unread.
            ("Gelen Kutusu,abc", Unknown),
            ("Spam,abc", Unknown),
            ("Work", Unknown),
            ("Kikasha,Haijasomwa", Unknown),
            ("El tema se ha fijado", Unknown),
            ("", Read),
        ] {
            assert_eq!(read_state(&parse_labels(value.as_bytes())), state, "{value}");
        }
    }

    #[test]
    fn the_labels_of_a_file_show_its_language() {
        for (values, is_known) in [
            (&["Inbox,Work", "Inbox,Opened", "Work"][..], true),
            (&["Work", "Home", "Inbox"], false),
            (&["Gelen Kutusu,abc", "Gelen Kutusu,abc"], false),
            (&["Gelen Kutusu,abc", "Gelen Kutusu,Okunmam\u{131}\u{15f}"], true),
            (&["Inbox", "Posteingang", "Recibidos,abc", "abc"], false),
            (&["abc", "abc,def"], false),
            (&[], false),
        ] {
            let survey = LabelSurvey::of(values.iter().map(|value| value.as_bytes()));
            assert_eq!(survey.is_unread_known(), is_known, "{values:?}");
        }
    }
}
