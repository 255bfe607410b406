//! `utils`: identifiers, hashes, randomness. Hashing is the engine's own work,
//! so it is metered like any other code of the script.

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use javy::quickjs::{Ctx, Exception, Function, Object, Result, TypedArray, Value};
use sha2::Digest;

use crate::airlock::script::utils;
use crate::{errors, state};

/// The most bytes that one call of the host's generator answers.
const RANDOM_CHUNK: usize = 65_536;

thread_local! {
    /// The state of Math.random, drawn at the first use in each call.
    static MATH_RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// xorshift64*, seeded by the host. Math.random promises no secrecy;
/// `utils.crypto.randomBytes` does. At compile time the seed is fixed, so that
/// the same source makes the same artifact.
fn math_random() -> f64 {
    let mut x = MATH_RANDOM.get();
    if x == 0 {
        x = if state::calling() {
            let seed = utils::random_bytes(8);
            seed.iter().fold(0u64, |seed, byte| (seed << 8) | u64::from(*byte)).max(1)
        } else {
            0x9E37_79B9_7F4A_7C15
        };
    }
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    MATH_RANDOM.set(x);
    (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
}

/// What a call starts with must not be what the snapshot ended with.
pub fn forget_seed() {
    MATH_RANDOM.set(0);
}

fn random(ctx: &Ctx<'_>, what: &str, length: usize) -> Result<Vec<u8>> {
    errors::require_call(ctx, what)?;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.extend(utils::random_bytes((length - bytes.len()).min(RANDOM_CHUNK) as u32));
    }
    Ok(bytes)
}

fn uuid(ctx: Ctx<'_>) -> Result<String> {
    let mut bytes = random(&ctx, "utils.uuid", 16)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = hex(&bytes);
    for position in [20, 16, 12, 8] {
        text.insert(position, '-');
    }
    Ok(text)
}

fn random_bytes(ctx: Ctx<'_>, length: f64) -> Result<TypedArray<'_, u8>> {
    if !(0.0..=1_048_576.0).contains(&length) || length.fract() != 0.0 {
        let message = "randomBytes takes a whole number of bytes from 0 to 1048576";
        return Err(Exception::throw_range(&ctx, message));
    }
    let bytes = random(&ctx, "utils.crypto.randomBytes", length as usize)?;
    TypedArray::new(ctx, bytes)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// The bytes of a string (as UTF-8) or a Uint8Array.
pub fn bytes_of(ctx: &Ctx<'_>, value: &Value<'_>, what: &str) -> Result<Vec<u8>> {
    if let Some(text) = value.as_string() {
        return Ok(text.to_string()?.into_bytes());
    }
    if let Some(bytes) = value.as_object().and_then(|object| object.as_typed_array::<u8>())
        && let Some(bytes) = bytes.as_bytes()
    {
        return Ok(bytes.to_vec());
    }
    if let Some(buffer) = value.as_object().cloned().and_then(javy::quickjs::ArrayBuffer::from_object)
        && let Some(bytes) = buffer.as_bytes()
    {
        return Ok(bytes.to_vec());
    }
    let kind = if value.is_number() { "number" } else { value.type_name() };
    let message = format!("{what} must be a string or a Uint8Array, not {kind}");
    Err(Exception::throw_type(ctx, &message))
}

fn encode(ctx: &Ctx<'_>, bytes: &[u8], encoding: &str) -> Result<String> {
    match encoding {
        "hex" => Ok(hex(bytes)),
        "base64" => Ok(STANDARD.encode(bytes)),
        "base64url" => Ok(URL_SAFE_NO_PAD.encode(bytes)),
        other => {
            let message = format!("`{other}` is not an encoding; use hex, base64 or base64url");
            Err(Exception::throw_type(ctx, &message))
        }
    }
}

fn unknown_algorithm(ctx: &Ctx<'_>, name: &str) -> javy::quickjs::Error {
    let message = format!("`{name}` is not a hash algorithm; use sha256, sha512, sha1 or md5");
    Exception::throw_type(ctx, &message)
}

fn hash<'js>(ctx: Ctx<'js>, data: Value<'js>, algorithm: String, encoding: String) -> Result<String> {
    let data = bytes_of(&ctx, &data, "the data to hash")?;
    let digest = match algorithm.as_str() {
        "sha256" => sha2::Sha256::digest(&data).to_vec(),
        "sha512" => sha2::Sha512::digest(&data).to_vec(),
        "sha1" => sha1::Sha1::digest(&data).to_vec(),
        "md5" => md5::Md5::digest(&data).to_vec(),
        other => return Err(unknown_algorithm(&ctx, other)),
    };
    encode(&ctx, &digest, &encoding)
}

fn hmac<'js>(ctx: Ctx<'js>, key: Value<'js>, data: Value<'js>, algorithm: String, encoding: String) -> Result<String> {
    let key = bytes_of(&ctx, &key, "the key")?;
    let data = bytes_of(&ctx, &data, "the data to sign")?;
    macro_rules! mac {
        ($digest:ty) => {{
            // HMAC takes keys of every length.
            let Ok(mut mac) = Hmac::<$digest>::new_from_slice(&key) else {
                return Err(Exception::throw_type(&ctx, "the key has no usable length"));
            };
            mac.update(&data);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    let signature = match algorithm.as_str() {
        "sha256" => mac!(sha2::Sha256),
        "sha512" => mac!(sha2::Sha512),
        "sha1" => mac!(sha1::Sha1),
        "md5" => mac!(md5::Md5),
        other => return Err(unknown_algorithm(&ctx, other)),
    };
    encode(&ctx, &signature, &encoding)
}

/// Compares in a time that depends on the lengths alone.
fn timing_safe_equal<'js>(ctx: Ctx<'js>, a: Value<'js>, b: Value<'js>) -> Result<bool> {
    let a = bytes_of(&ctx, &a, "the first value")?;
    let b = bytes_of(&ctx, &b, "the second value")?;
    Ok(a.len() == b.len() && a.iter().zip(&b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0)
}

fn base64_encode<'js>(ctx: Ctx<'js>, data: Value<'js>) -> Result<String> {
    Ok(STANDARD.encode(bytes_of(&ctx, &data, "the data")?))
}

fn base64_decode(ctx: Ctx<'_>, text: String) -> Result<TypedArray<'_, u8>> {
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let text: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    match engine.decode(text) {
        Ok(bytes) => TypedArray::new(ctx, bytes),
        Err(reason) => Err(Exception::throw_type(&ctx, &format!("this is not base64: {reason}"))),
    }
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    let math: Object = ctx.globals().get("Math")?;
    math.set("random", Function::new(ctx.clone(), math_random)?.with_name("random")?)?;
    native.set("uuid", Function::new(ctx.clone(), uuid)?)?;
    native.set("randomBytes", Function::new(ctx.clone(), random_bytes)?)?;
    native.set("hash", Function::new(ctx.clone(), hash)?)?;
    native.set("hmac", Function::new(ctx.clone(), hmac)?)?;
    native.set("timingSafeEqual", Function::new(ctx.clone(), timing_safe_equal)?)?;
    native.set("base64Encode", Function::new(ctx.clone(), base64_encode)?)?;
    native.set("base64Decode", Function::new(ctx.clone(), base64_decode)?)
}
