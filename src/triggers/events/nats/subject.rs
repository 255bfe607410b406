//! Subjects: `<prefix>.<tenant>.<event>`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a word of a subject does not have as it is.
const WORD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The same of an event's name, whose words are the subject's.
const NAME: &AsciiSet = &WORD.remove(b':').remove(b'.');

/// Where an event is sent.
pub fn of(prefix: &str, tenant: &str, name: &str) -> String {
    // NATS knows no empty words.
    let set = if name.split('.').any(str::is_empty) { WORD } else { NAME };
    format!("{prefix}.{}.{}", utf8_percent_encode(tenant, WORD), utf8_percent_encode(name, set))
}

/// The tenant and the event's name. None: it is no such subject.
pub fn read(prefix: &str, subject: &str) -> Option<(String, String)> {
    let (tenant, name) = subject.strip_prefix(prefix)?.strip_prefix('.')?.split_once('.')?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    Some((plain(tenant)?, plain(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_word_whatever_its_name() {
        for (tenant, name, subject) in [
            ("acme", "order.created", "shop.events.acme.order.created"),
            ("Acme_1-b", "a:b", "shop.events.Acme_1-b.a:b"),
            ("acme.eu", "a", "shop.events.acme%2Eeu.a"),
            ("> *", "a", "shop.events.%3E%20%2A.a"),
            ("é%", "a", "shop.events.%C3%A9%25.a"),
            ("acme", "a..b", "shop.events.acme.a%2E%2Eb"),
            ("acme", ".a.", "shop.events.acme.%2Ea%2E"),
        ] {
            assert_eq!(of("shop.events", tenant, name), subject);
            assert_eq!(read("shop.events", subject), Some((tenant.to_owned(), name.to_owned())), "{subject}");
        }
    }

    #[test]
    fn what_is_no_such_subject_is_nothing() {
        for subject in
            ["shop.events", "shop.events.", "shop.events.acme", "shop.other.acme.a", "shop.eventsacme.a.b", ""]
        {
            assert_eq!(read("shop.events", subject), None, "{subject}");
        }
        assert_eq!(read("shop.events", "shop.events.%ff.a"), None, "no text");
    }
}
