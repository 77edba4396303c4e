//! X-Gmail-Labels, which Google Takeout adds to every message: a list of labels. Some are those of Gmail itself.
//!
//! Labels of Gmail itself are in the language of the account. The file does not name the language, so all languages
//! are recognized at once. A user label with the name of a Gmail label in another language is mistaken for that.

use std::collections::HashMap;
use std::sync::LazyLock;

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

/// The labels of Gmail in lower case, separated by `|`: English, German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian,
/// Japanese.
///
/// Seen in files of Takeout: the English ones; `Posteingang,Wichtig,Ungelesen`, `Geöffnet`; `Messages
/// archivés,Ouvert`, `Archivés,Envoyé`, `Boîte de réception,Non lus`; `No leídos`; `Recibidos,Importante`. The others
/// are the words that Gmail shows in these languages, singular and plural, since Takeout uses both. Words that users
/// choose for their own labels are omitted (the Dutch `Concept`, the Russian `Архив`).
const LABELS: [(SystemLabel, &str); 11] = [
    (
        SystemLabel::Inbox,
        "inbox|posteingang|boîte de réception|recibidos|bandeja de entrada|caixa de entrada|\
         posta in arrivo|postvak in|odebrane|входящие|受信トレイ",
    ),
    (
        SystemLabel::Sent,
        "sent|sent mail|gesendet|envoyé|envoyés|messages envoyés|enviado|enviados|enviada|enviadas|\
         inviato|inviati|inviata|posta inviata|verzonden|wysłane|отправленные|送信済み|送信済みメール",
    ),
    (
        SystemLabel::Draft,
        "draft|drafts|entwurf|entwürfe|brouillon|brouillons|borrador|borradores|rascunho|rascunhos|bozza|\
         bozze|concepten|wersja robocza|wersje robocze|черновик|черновики|下書き",
    ),
    (SystemLabel::Spam, "spam|спам|迷惑メール"),
    (
        SystemLabel::Trash,
        "trash|bin|papierkorb|corbeille|papelera|lixeira|lixo|cestino|prullenbak|kosz|корзина|ゴミ箱",
    ),
    (
        SystemLabel::Starred,
        "starred|markiert|suivi|suivis|messages suivis|destacado|destacados|com estrela|speciale|speciali|\
         met ster|oznaczone gwiazdką|z gwiazdką|помеченные|スター付き",
    ),
    (
        SystemLabel::Important,
        "important|wichtig|importants|importante|importantes|importanti|belangrijk|ważne|важное|важные|重要",
    ),
    (
        SystemLabel::Unread,
        "unread|ungelesen|non lu|non lus|no leído|no leídos|não lida|não lidas|não lido|não lidos|\
         non letto|non letti|da leggere|ongelezen|nieprzeczytane|непрочитанное|непрочитанные|未読",
    ),
    (
        SystemLabel::Opened,
        "opened|geöffnet|ouvert|ouverts|abierto|abiertos|aberto|abertos|aberta|abertas|aperto|aperti|\
         geopend|otwarte|открытые|открыто|прочитанные|開封済み|既読",
    ),
    (
        SystemLabel::Archived,
        "archived|archiviert|archivé|archivés|messages archivés|archivado|archivados|arquivado|arquivados|\
         arquivada|arquivadas|archiviato|archiviati|gearchiveerd|zarchiwizowane|архивированные|\
         заархивированные|アーカイブ|アーカイブ済み",
    ),
    (SystemLabel::Chat, "chat|chats|czat|czaty|чат|чаты|チャット"),
];

/// The word before the name of a category, in each language.
const CATEGORY: &str =
    "category|kategorie|catégorie|categoría|categoria|categorie|kategoria|категория|カテゴリ";

/// The names of categories: personal, social, promotions, updates, forums, and others of English accounts.
/// Seen: `Category Personal`, `Category Updates`, `Kategorie: "Neuigkeiten"`, `Kategorie: "Soziale Medien"`,
/// `Catégorie : E-mails personnels`.
const CATEGORIES: &str = "\
    personal|primary|social|promotions|updates|forums|purchases|reservations|travel|finance|persönlich|\
    allgemein|soziale medien|soziale netzwerke|werbung|neuigkeiten|benachrichtigungen|foren|principale|\
    e-mails personnels|personnel|réseaux sociaux|notifications|mises à jour|principal|promociones|\
    notificaciones|actualizaciones|foros|pessoal|pessoais|redes sociais|promoções|notificações|\
    atualizações|atualizações importantes|fóruns|personali|personale|promozioni|aggiornamenti|notifiche|\
    forum|persoonlijk|sociaal|sociale media|reclame|promoties|meldingen|główne|osobiste|społeczności|\
    oferty|powiadomienia|aktualizacje|fora|несортированные|личные|соцсети|промоакции|оповещения|обновления|\
    форумы|メイン|個人|ソーシャル|プロモーション|新着|最新情報|フォーラム";

/// Parses the value of an X-Gmail-Labels field. Encoded words are decoded first, since Takeout encodes the whole list
/// with its commas. Then the list is split at commas that are not quoted. A quoted label begins with a quote, and has
/// its own quotes doubled. In other labels (`Kategorie: "Neuigkeiten"`) a quote is a quote.
pub(crate) fn parse_labels(value: &[u8]) -> Vec<String> {
    let list = header::decode_text(value);
    let (mut labels, mut label, mut quoted) = (Vec::new(), String::new(), false);
    let mut is_blank = true;
    let mut rest = list.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                label.extend(rest.next());
                is_blank = false;
            }
            '"' if quoted => quoted = false,
            '"' if is_blank => quoted = true,
            ',' if !quoted => {
                labels.push(std::mem::take(&mut label));
                is_blank = true;
            }
            _ => {
                label.push(c);
                is_blank &= c.is_whitespace();
            }
        }
    }
    labels.push(label);
    labels.iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect()
}

/// Returns the meaning of a label of Gmail; `None` for a user label.
pub(crate) fn system_label(label: &str) -> Option<SystemLabel> {
    static MEANINGS: LazyLock<HashMap<&str, SystemLabel>> = LazyLock::new(|| {
        LABELS.iter().flat_map(|&(system, names)| names.split('|').map(move |name| (name, system))).collect()
    });
    let plain = plain(label);
    let system = MEANINGS.get(plain.as_str()).copied();
    system.or_else(|| is_category(&plain).then_some(SystemLabel::Category))
}

fn is_category(plain: &str) -> bool {
    let is_one_of = |names: &str, word| names.split('|').any(|name| name == word);
    plain.split_once(' ').is_some_and(|(word, name)| is_one_of(CATEGORY, word) && is_one_of(CATEGORIES, name))
}

/// Returns a label in lower case, with one blank between its words. No-break blanks, colons and quotes count as
/// blanks.
fn plain(label: &str) -> String {
    let lower = label.to_lowercase();
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
            (" \"never, closed", &["never, closed"]),
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
}
