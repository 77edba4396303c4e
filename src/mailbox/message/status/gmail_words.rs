//! Gmail's own labels by language, as Takeout and Gmail's pages spell them.
//!
//! Seen in files of Takeout: the English ones; `Posteingang,Wichtig,Ungelesen`, `Geöffnet`; `Messages archivés,Ouvert`,
//! `Archivés,Envoyé`, `Boîte de réception,Non lus`; `No leídos`; `Recibidos,Importante`; `Archivováno`, `Nepřečtené`;
//! `Innboks,Ulest`, `Inkorg,Oläst`, `Indbakke,Ulæst`; `收件匣,未讀郵件`. The others are the words that Gmail shows,
//! singular and plural, since Takeout uses both. Words that users choose for their own labels are omitted (the Dutch
//! `Concept`, the Russian `Архив`).

/// A language of Gmail.
pub(super) struct Language {
    /// Takeout's word for unread is among the words, and not only Gmail's.
    pub unread_is_certain: bool,
    /// The labels of each [`SystemLabel`](super::gmail::SystemLabel) in its order, separated by `|`.
    pub labels: [&'static str; 11],
}

const fn certain(labels: [&'static str; 11]) -> Language {
    Language { unread_is_certain: true, labels }
}

const fn likely(labels: [&'static str; 11]) -> Language {
    Language { unread_is_certain: false, labels }
}

/// In each: inbox, sent, draft, spam, trash, starred, important, unread, opened, archived, chat.
#[rustfmt::skip]
pub(super) const LANGUAGES: [Language; 44] = [
    // English
    certain(["inbox", "sent|sent mail", "draft|drafts", "spam", "trash|bin", "starred", "important", "unread",
        "opened", "archived", "chat|chats"]),
    // German
    certain(["posteingang", "gesendet", "entwurf|entwürfe", "spam", "papierkorb", "markiert", "wichtig", "ungelesen",
        "geöffnet", "archiviert", "chat|chats"]),
    // French
    certain(["boîte de réception", "envoyé|envoyés|messages envoyés", "brouillon|brouillons", "spam", "corbeille",
        "suivi|suivis|messages suivis|favoris", "important|importants", "non lu|non lus", "ouvert|ouverts",
        "archivé|archivés|messages archivés", "chat|chats"]),
    // Spanish
    certain(["recibidos|bandeja de entrada", "enviado|enviados", "borrador|borradores", "spam", "papelera",
        "destacado|destacados", "importante|importantes", "no leído|no leídos", "abierto|abiertos",
        "archivado|archivados", "chat|chats"]),
    // Portuguese
    certain(["caixa de entrada|recebidos", "enviado|enviados|enviada|enviadas|correio enviado|e-mails enviados",
        "rascunho|rascunhos", "spam", "lixeira|lixo|reciclagem", "com estrela|marcado com estrela|marcados com estrela",
        "importante|importantes", "não lida|não lidas|não lido|não lidos", "aberto|abertos|aberta|abertas",
        "arquivado|arquivados|arquivada|arquivadas", "chat|chats"]),
    // Italian
    certain(["posta in arrivo", "inviato|inviati|inviata|posta inviata", "bozza|bozze", "spam", "cestino",
        "speciale|speciali", "importante|importanti", "non letto|non letti|da leggere", "aperto|aperti",
        "archiviato|archiviati", "chat"]),
    // Dutch
    certain(["postvak in|inbox", "verzonden", "concepten", "spam", "prullenbak", "met ster", "belangrijk",
        "ongelezen", "geopend", "gearchiveerd", "chat|chats"]),
    // Polish
    certain(["odebrane", "wysłane", "wersja robocza|wersje robocze", "spam", "kosz",
        "oznaczone gwiazdką|z gwiazdką", "ważne", "nieprzeczytane", "otwarte", "zarchiwizowane", "czat|czaty"]),
    // Russian
    certain(["входящие", "отправленные", "черновик|черновики", "спам", "корзина", "помеченные", "важное|важные",
        "непрочитанное|непрочитанные", "открытые|открыто|прочитанные",
        "архивированные|заархивированные", "чат|чаты"]),
    // Japanese
    certain(["受信トレイ", "送信済み|送信済みメール", "下書き", "迷惑メール", "ゴミ箱", "スター付き", "重要", "未読",
        "開封済み|既読", "アーカイブ|アーカイブ済み", "チャット"]),
    // Catalan
    certain(["safata d'entrada", "enviat|enviats|correu enviat", "esborrany|esborranys", "spam|correu brossa",
        "paperera", "destacat|destacats|amb estrella", "important|importants", "no llegit|no llegits",
        "obert|oberts", "arxivat|arxivats", "xat|xats"]),
    // Czech
    certain(["doručená pošta|doručené", "odeslaná pošta|odeslané|odesláno", "koncept|koncepty", "spam", "koš",
        "s hvězdičkou|označeno hvězdičkou", "důležité", "nepřečtené|nepřečteno", "otevřené|otevřeno",
        "archivováno|archivované", "chat|chaty"]),
    // Norwegian
    certain(["innboks|innboksen", "sendt|sendte|sendt e-post", "utkast|kladd|kladder", "søppelpost|spam",
        "papirkurv|papirkurven", "stjernemerket|stjernemerkede|med stjerne", "viktig|viktige", "ulest|uleste",
        "åpnet|åpnede", "arkivert|arkiverte", "chat|nettprat"]),
    // Swedish
    certain(["inkorg|inkorgen", "skickat|skickade|skickade mejl", "utkast", "skräppost",
        "papperskorg|papperskorgen", "stjärnmärkt|stjärnmärkta", "viktigt|viktiga|viktig",
        "oläst|olästa", "öppnat|öppnad|öppnade", "arkiverat|arkiverad|arkiverade", "chatt|chattar"]),
    // Danish
    certain(["indbakke", "sendt|sendte|sendte mails|sendte e-mails", "kladde|kladder", "spam", "papirkurv",
        "stjernemarkeret|stjernemarkerede|med stjerne", "vigtig|vigtigt|vigtige", "ulæst|ulæste", "åbnet|åbnede",
        "arkiveret|arkiverede", "chat|chatbeskeder"]),
    // Chinese of Taiwan and Hong Kong
    certain(["收件匣|收件箱", "寄件備份|寄件匣|已寄郵件", "草稿", "垃圾郵件", "垃圾桶", "已加星號", "重要郵件|重要",
        "未讀|未讀郵件", "已開啟|已開封|已開啟的郵件", "已封存|已封存的郵件", "即時通訊|聊天"]),
    // Chinese
    likely(["收件箱", "已发邮件|已发送邮件|已发送", "草稿", "垃圾邮件", "已删除邮件|回收站|垃圾箱", "已加星标",
        "重要邮件|重要", "未读|未读邮件", "已打开|已打开的邮件", "已归档|已存档", "聊天|聊天记录"]),
    // Korean
    likely(["받은편지함", "보낸편지함|보낸메일함", "임시보관함", "스팸함|스팸|스팸메일함", "휴지통", "별표편지함|별표",
        "중요편지함|중요", "읽지않음|읽지 않음|읽지 않은 메일", "열어봄|열림|열었음|개봉됨", "보관처리됨|보관됨",
        "채팅"]),
    // Slovak
    likely(["doručené|doručená pošta|prijaté", "odoslané|odoslaná pošta", "koncept|koncepty|rozpísané", "spam", "kôš",
        "s hviezdičkou|označené hviezdičkou", "dôležité", "neprečítané", "otvorené", "archivované", "čet|čety"]),
    // Hungarian
    likely(["beérkező levelek|beérkezett üzenetek", "elküldött|elküldött levelek|elküldve", "piszkozat|piszkozatok",
        "spam|levélszemét", "kuka|lomtár", "csillagozott|csillaggal megjelölt", "fontos", "olvasatlan",
        "megnyitott|megnyitva", "archivált|archiválva", "csevegés|csevegések"]),
    // Romanian
    likely(["mesaje primite|primite", "trimis|trimise|mesaje trimise", "schiță|schițe|ciornă|ciorne|mesaje nefinalizate",
        "spam", "coș de gunoi|coș", "cu stea", "important|importante", "necitit|necitite", "deschis|deschise",
        "arhivat|arhivate", "chat|chaturi"]),
    // Croatian
    likely(["primljeno|pristigla pošta|ulazna pošta", "poslano|poslana pošta", "skica|skice",
        "neželjena pošta|spam", "otpad|smeće", "sa zvjezdicom|označeno zvjezdicom", "važno",
        "nepročitano|nepročitane|nepročitana", "otvoreno", "arhivirano", "chat|chatovi"]),
    // Serbian
    likely(["примљено|примљене", "послато|послате", "недовршено|недовршене|нацрти", "непожељно|спам", "отпад",
        "са звездицом", "важно", "непрочитано|непрочитане", "отворено", "архивирано", "ћаскање|ћаскања"]),
    // Slovenian
    likely(["prejeto|prejeta pošta", "poslano|poslana pošta", "osnutek|osnutki", "vsiljena pošta|neželena pošta",
        "smetnjak|koš", "z zvezdico", "pomembno", "neprebrano|neprebrana", "odprto", "arhivirano",
        "klepet|klepeti"]),
    // Bulgarian
    likely(["входящи|входяща поща", "изпратени|изпратена поща", "чернова|чернови", "спам", "кошче", "със звезда",
        "важно|важни", "непрочетени|непрочетено", "отворени|отворено", "архивирани|архивирано", "чат|чатове"]),
    // Ukrainian
    likely(["вхідні", "надіслані|відправлені", "чернетка|чернетки", "спам", "кошик", "із зірочкою|позначені зірочкою",
        "важливі|важливо", "непрочитані|непрочитане", "відкриті|відкрито", "архівовані|заархівовані|архівовано",
        "чат|чати"]),
    // Finnish
    likely(["saapuneet|postilaatikko", "lähetetyt|lähetetty", "luonnos|luonnokset", "roskaposti", "roskakori",
        "tähdellä merkitty|tähdellä merkityt|tähdelliset", "tärkeä|tärkeät", "lukematon|lukemattomat",
        "avattu|avatut", "arkistoitu|arkistoidut", "keskustelu|keskustelut|chat"]),
    // Estonian
    likely(["postkast|sisendkaust", "saadetud|saadetud kirjad", "mustand|mustandid", "rämpspost", "prügikast",
        "tärniga|tärniga tähistatud", "oluline|olulised", "lugemata", "avatud", "arhiivitud|arhiveeritud",
        "vestlus|vestlused"]),
    // Latvian
    likely(["iesūtne", "nosūtītās|nosūtītie|nosūtīts|nosūtītās vēstules", "melnraksts|melnraksti",
        "mēstules|surogātpasts", "miskaste|atkritne", "ar zvaigznīti|atzīmētas ar zvaigznīti", "svarīgi|svarīgas",
        "nelasīts|nelasītas|nelasīti", "atvērts|atvērtas", "arhivēts|arhivētas", "tērzēšana"]),
    // Lithuanian
    likely(["gautieji|gauti laiškai", "išsiųsti|išsiųsti laiškai", "juodraštis|juodraščiai", "šlamštas",
        "šiukšliadėžė|šiukšlinė", "pažymėta žvaigždute|su žvaigždute", "svarbu|svarbūs",
        "neskaityta|neskaityti|neskaitytas", "atidaryta|atidaryti", "suarchyvuota|archyvuota",
        "pokalbis|pokalbiai"]),
    // Turkish
    likely(["gelen kutusu", "gönderilmiş postalar|gönderilenler|gönderildi|gönderilmiş", "taslak|taslaklar", "spam",
        "çöp kutusu|çöp", "yıldızlı|yıldızlılar", "önemli", "okunmamış|okunmadı", "açıldı|açılmış|açılan",
        "arşivlenmiş|arşivlendi", "sohbet|sohbetler"]),
    // Greek
    likely(["εισερχόμενα", "απεσταλμένα|σταλμένα", "πρόχειρο|πρόχειρα", "ανεπιθύμητα|ανεπιθύμητη αλληλογραφία",
        "κάδος|κάδος απορριμμάτων", "με αστέρι", "σημαντικά|σημαντικό",
        "μη αναγνωσμένα|μη αναγνωσμένο|αδιάβαστα", "ανοιγμένα|ανοίχτηκε|αναγνωσμένα",
        "αρχειοθετημένα|αρχειοθετήθηκε", "συνομιλία|συνομιλίες"]),
    // Hebrew
    likely(["דואר נכנס", "נשלח|דואר שנשלח|דואר יוצא", "טיוטה|טיוטות", "ספאם|דואר זבל", "אשפה|פח האשפה",
        "מסומן בכוכב|מסומנים בכוכב", "חשוב|חשובים", "לא נקרא|לא נקראו|שלא נקראו", "נפתח|נפתחו",
        "הועבר לארכיון|בארכיון", "צ'אט|צ'אטים"]),
    // Arabic
    likely(["البريد الوارد|الوارد", "البريد المرسل|المرسل|مرسل|البريد المُرسَل", "مسودة|مسودات|المسودات",
        "غير مرغوب فيه|الرسائل غير المرغوب فيها|بريد غير مرغوب فيه", "المهملات|سلة المهملات",
        "مميز بنجمة|المميزة بنجمة|مميّزة بنجمة", "مهم|هام|المهمة", "غير مقروءة|غير مقروء|غير المقروءة",
        "مفتوح|مفتوحة|تم الفتح|تم فتحها", "مؤرشف|مؤرشفة|تمت الأرشفة", "دردشة|محادثات"]),
    // Persian
    likely(["صندوق ورودی", "ارسال شده|ارسال‌شده|فرستاده شده", "پیش نویس|پیش‌نویس|پیش‌نویس‌ها", "هرزنامه",
        "زباله‌دان|سطل زباله|حذف‌شده‌ها", "ستاره‌دار|ستاره دار", "مهم", "خوانده نشده|خوانده‌نشده",
        "باز شده|بازشده", "بایگانی شده|بایگانی‌شده", "گپ"]),
    // Indonesian
    likely(["kotak masuk", "terkirim|surat terkirim", "draf", "spam", "sampah|tong sampah", "berbintang", "penting",
        "belum dibaca", "dibuka|sudah dibuka|telah dibuka", "diarsipkan", "chat|obrolan"]),
    // Malay
    likely(["peti masuk", "dihantar|mel dihantar", "draf", "spam", "sampah", "berbintang", "penting",
        "belum dibaca|tidak dibaca", "dibuka|telah dibuka", "diarkibkan", "sembang"]),
    // Filipino
    likely(["inbox", "naipadala|ipinadala|naipadalang mail", "draft|mga draft", "spam", "basurahan|trash",
        "naka-star|may star", "mahalaga", "hindi nabasa|hindi pa nababasa|hindi pa nabasa|di-nabasa", "binuksan|nabuksan",
        "naka-archive|na-archive", "chat|mga chat"]),
    // Vietnamese
    likely(["hộp thư đến", "đã gửi|thư đã gửi", "thư nháp|nháp|bản nháp", "thư rác|spam", "thùng rác",
        "có gắn dấu sao|được gắn dấu sao|gắn dấu sao|đã gắn dấu sao", "quan trọng", "chưa đọc|thư chưa đọc",
        "đã mở", "đã lưu trữ|lưu trữ", "trò chuyện"]),
    // Thai
    likely(["กล่องจดหมาย|กล่องขาเข้า", "จดหมายที่ส่งแล้ว|ส่งแล้ว", "จดหมายร่าง|ร่างจดหมาย|ฉบับร่าง",
        "จดหมายขยะ|สแปม", "ถังขยะ", "ที่ติดดาว|ติดดาว", "สำคัญ", "ยังไม่ได้อ่าน|ยังไม่อ่าน|ที่ยังไม่ได้อ่าน",
        "เปิดแล้ว|เปิดอ่านแล้ว", "เก็บถาวรแล้ว|ที่เก็บถาวร", "แชท"]),
    // Hindi
    likely(["इनबॉक्स", "भेजे गए|भेजा गया|भेजी गई मेल", "ड्राफ़्ट|ड्राफ्ट|प्रारूप", "स्पैम", "ट्रैश|कचरा पेटी",
        "तारांकित|तारे के निशान वाले", "महत्वपूर्ण|अहम|ज़रूरी", "नहीं पढ़े गए|न पढ़े गए|अपठित|नहीं पढ़ा गया|बिना पढ़े",
        "खोला गया|खोले गए", "संग्रहीत|संग्रह किए गए|संग्रहित", "चैट"]),
    // Basque
    likely(["sarrera-ontzia", "bidalitakoak|bidalita", "zirriborroa|zirriborroak", "spama|spam", "zakarrontzia",
        "izarduna|izardunak", "garrantzitsua|garrantzitsuak", "irakurri gabe|irakurri gabeak", "irekita|irekiak",
        "artxibatuta|artxibatuak", "txata|txatak"]),
    // Galician
    likely(["caixa de entrada", "enviado|enviados", "borrador|borradores", "spam", "papeleira",
        "destacado|destacados|con estrela", "importante|importantes", "non lido|non lidos|sen ler|non lida|non lidas",
        "aberto|abertos|aberta|abertas", "arquivado|arquivados", "chat|chats"]),
    // Icelandic
    likely(["innhólf", "sendur póstur|send skilaboð|sent", "drög", "ruslpóstur", "rusl|ruslakarfa", "stjörnumerkt",
        "mikilvægt", "ólesið|ólesinn|ólesin", "opnað|opnaður|opnuð", "sett í geymslu|í geymslu", "spjall"]),
];

/// The word before the name of a category, in each language.
pub(super) const CATEGORY: &str = "category|kategorie|catégorie|categoría|categoria|categorie|kategoria|категория|カテゴリ|\
    kategori|類別|分類|类别|分类|카테고리|kategória|kategorija|категорија|категорія|luokka|kategooria|κατηγορία|קטגוריה|\
    فئة|دسته|kategorya|danh mục|หมวดหมู่|श्रेणी|flokkur";

/// The names of categories: personal, social, promotions, updates, forums, and others of English accounts.
/// Seen: `Category Personal`, `Category Updates`, `Kategorie: "Neuigkeiten"`, `Kategorie: "Soziale Medien"`,
/// `Catégorie : E-mails personnels`, `Kategorie: Sociální sítě`, `Kategori: Reklame`.
pub(super) const CATEGORIES: &str = "\
    personal|primary|social|promotions|updates|forums|purchases|reservations|travel|finance|persönlich|\
    allgemein|soziale medien|soziale netzwerke|werbung|neuigkeiten|benachrichtigungen|foren|principale|\
    e-mails personnels|personnel|réseaux sociaux|notifications|mises à jour|principal|promociones|\
    notificaciones|actualizaciones|foros|pessoal|pessoais|redes sociais|promoções|notificações|\
    atualizações|atualizações importantes|fóruns|personali|personale|promozioni|aggiornamenti|notifiche|\
    forum|persoonlijk|sociaal|sociale media|reclame|promoties|meldingen|główne|osobiste|społeczności|\
    oferty|powiadomienia|aktualizacje|fora|несортированные|личные|соцсети|промоакции|оповещения|обновления|\
    форумы|メイン|個人|ソーシャル|プロモーション|新着|最新情報|フォーラム|\
    osobní|hlavní|sociální sítě|promo|reklamy|aktualizace|fóra|reklame|kampanjer|sosialt|sosiale medier|oppdateringer|\
    personlig|personlige|diskusjonsfora|diskussionsfora|sociala medier|reklam|kampanjer|uppdateringar|personligt|\
    kampagner|socialt|sociale medier|opdateringer|社交網路|社交|促銷內容|促銷|最新快訊|最新動態|論壇|個人郵件|\
    社交网络|推广|动态|论坛|个人|개인|소셜|프로모션|업데이트|포럼|sosyal|tanıtımlar|güncellemeler|forumlar|kişisel";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_a_word_for_each_label() {
        for language in &LANGUAGES {
            for words in language.labels {
                assert!(words.split('|').all(|word| !word.is_empty() && word.trim() == word), "{words}");
            }
        }
    }
}
