//! `numeric` on the wire: groups of four decimal digits.

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

/// The most digits before and after the point that PostgreSQL takes.
const WHOLE: usize = 131_072;
const FRACTION: usize = 16_383;

/// A number's text, exactly. None where the bytes are no number.
pub fn read(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at * 2..at * 2 + 2)?.try_into().ok()?));
    let (groups, weight, sign, scale) = (word(0)? as usize, word(1)? as i16, word(2)?, word(3)? as usize);
    match sign {
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        0 | NEGATIVE => {}
        _ => return None,
    }
    let group = |power: i32| -> Option<u16> {
        let index = i32::from(weight) - power;
        match usize::try_from(index) {
            Ok(index) if index < groups => word(4 + index),
            _ => Some(0),
        }
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    let first = i32::from(weight).max(0);
    for power in (0..=first).rev() {
        let digits = group(power)?;
        if power == first { text.push_str(&digits.to_string()) } else { text.push_str(&format!("{digits:04}")) }
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut power = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(power)?));
            power -= 1;
        }
        text.push('.');
        text.push_str(fraction.get(..scale)?);
    }
    Some(text)
}

/// A number's bytes. None where the text is no number, or has more digits than
/// PostgreSQL takes.
pub fn write(text: &str) -> Option<Vec<u8>> {
    let special = |sign: u16| {
        let mut bytes = vec![0; 4];
        bytes.extend(sign.to_be_bytes());
        bytes.extend([0, 0]);
        Some(bytes)
    };
    match text {
        "NaN" => return special(NAN),
        "Infinity" => return special(INFINITY),
        "-Infinity" => return special(NEGATIVE_INFINITY),
        _ => {}
    }
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0
        || whole.len() + fraction.len() > WHOLE
        || exponent.unsigned_abs() as usize > WHOLE
        || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    // The point is moved by the exponent, over zeros where digits end.
    let all = format!("{whole}{fraction}");
    let point = whole.len() as i32 + exponent;
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point <= all.len() => (all[..point].to_owned(), all[point..].to_owned()),
        Ok(point) => (format!("{all}{}", "0".repeat(point - all.len())), String::new()),
        Err(_) => (String::new(), format!("{}{all}", "0".repeat(point.unsigned_abs() as usize))),
    };
    let whole = whole.trim_start_matches('0');
    if whole.len() > WHOLE || fraction.len() > FRACTION {
        return None;
    }
    let scale = u16::try_from(fraction.len()).ok()?;
    let padded = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let weight = (padded.len() / 4) as i32 - 1;
    let digits = format!("{padded}{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let mut groups: Vec<u16> = Vec::new();
    for group in digits.as_bytes().chunks(4) {
        groups.push(group.iter().fold(0, |sum, &digit| sum * 10 + u16::from(digit - b'0')));
    }
    let leading = groups.iter().take_while(|&&group| group == 0).count();
    let mut weight = weight - leading as i32;
    groups.drain(..leading);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if negative && !groups.is_empty() { NEGATIVE } else { 0 };
    let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
    bytes.extend(u16::try_from(groups.len()).ok()?.to_be_bytes());
    bytes.extend(i16::try_from(weight).ok()?.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(scale.to_be_bytes());
    for group in groups {
        bytes.extend(group.to_be_bytes());
    }
    Some(bytes)
}
