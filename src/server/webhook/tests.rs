//! The schemes, by the examples that their makers publish where there are some.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;

/// Of a request in the headers' form, at a time in seconds.
fn check(webhook: Value, headers: &[(&str, &str)], secret: &str, body: &str, now: i64) -> Result<(), Refusal> {
    let webhook: Webhook = serde_json::from_value(webhook).unwrap();
    let rule = webhook.check().unwrap();
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let claim = rule.signing.claim(&headers, now * 1000, rule.tolerance)?;
    let key = rule.signing.key(secret).expect("the secret has the scheme's form");
    if claim.holds(&key, body.as_bytes()) { Ok(()) } else { Err(Refusal::Mismatch) }
}

struct Vector {
    webhook: Value,
    headers: &'static [(&'static str, &'static str)],
    secret: &'static str,
    body: &'static str,
    /// In seconds; None where no time is signed.
    at: Option<i64>,
}

fn vectors() -> Vec<Vector> {
    let of = |scheme: &str| json!({ "scheme": scheme, "secrets": ["KEY"] });
    vec![
        // https://github.com/standard-webhooks/standard-webhooks
        Vector {
            webhook: of("standard"),
            headers: &[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ],
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            body: r#"{"test": 2432232314}"#,
            at: Some(1_614_265_330),
        },
        // The same from a sender that has its own headers and two secrets.
        Vector {
            webhook: of("standard"),
            headers: &[
                ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("svix-timestamp", "1614265330"),
                ("svix-signature", "v1a,AAAA v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ],
            secret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            body: r#"{"test": 2432232314}"#,
            at: Some(1_614_265_330),
        },
        // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        Vector {
            webhook: of("github"),
            headers: &[(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
            secret: "It's a Secret to Everybody",
            body: "Hello, World!",
            at: None,
        },
        // https://docs.slack.dev/authentication/verifying-requests-from-slack
        Vector {
            webhook: of("slack"),
            headers: &[
                ("x-slack-request-timestamp", "1531420618"),
                ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ],
            secret: "8f742231b10e8888abcd99yyyzzz85a5",
            body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                   channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                   response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                   96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
            at: Some(1_531_420_618),
        },
        // Computed by OpenSSL, as https://docs.stripe.com/webhooks#verify-manually says.
        Vector {
            webhook: of("stripe"),
            headers: &[(
                "stripe-signature",
                "t=1492774577,v1=00,v1=da4a28bb1e8ecf97feff14bd141aa183c9cbe6a13dcfb1a2ace8dc472e62593b,v0=6f",
            )],
            secret: "whsec_test",
            body: r#"{"id":"evt_1","object":"event"}"#,
            at: Some(1_492_774_577),
        },
        // RFC 2202 and RFC 4231, the second test case of each.
        Vector {
            webhook: json!({ "scheme": "hmac", "secrets": ["KEY"], "header": "X-Sign", "algorithm": "sha1",
                "encoding": "base64" }),
            headers: &[("x-sign", "7/zfauXrL6LSdBbV8YTfnCWafHk=")],
            secret: "Jefe",
            body: "what do ya want for nothing?",
            at: None,
        },
        Vector {
            webhook: json!({ "scheme": "hmac", "secrets": ["KEY"], "header": "X-Sign", "prefix": "sha256=" }),
            headers: &[("x-sign", "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")],
            secret: "Jefe",
            body: "what do ya want for nothing?",
            at: None,
        },
        // As Stripe signs, under other headers.
        Vector {
            webhook: json!({ "scheme": "hmac", "secrets": ["KEY"], "header": "X-Sign", "timestamp_header": "X-Time" }),
            headers: &[
                ("x-time", "1492774577"),
                ("x-sign", "da4a28bb1e8ecf97feff14bd141aa183c9cbe6a13dcfb1a2ace8dc472e62593b"),
            ],
            secret: "whsec_test",
            body: r#"{"id":"evt_1","object":"event"}"#,
            at: Some(1_492_774_577),
        },
    ]
}

#[test]
fn published_examples_hold() {
    for Vector { webhook, headers, secret, body, at } in vectors() {
        let now = at.unwrap_or(1_700_000_000);
        assert_eq!(check(webhook.clone(), headers, secret, body, now), Ok(()), "{webhook}");
        let other = if webhook["scheme"] == "standard" { "AAAA" } else { "another" };
        assert_eq!(check(webhook.clone(), headers, other, body, now), Err(Refusal::Mismatch), "{webhook}");
        let changed = format!("{body} ");
        assert_eq!(check(webhook.clone(), headers, secret, &changed, now), Err(Refusal::Mismatch), "{webhook}");
    }
}

#[test]
fn a_signed_time_holds_for_the_tolerance_in_both_directions() {
    for Vector { webhook, headers, secret, body, at } in vectors() {
        let Some(at) = at else { continue };
        for (now, expected) in [
            (at + 300, Ok(())),
            (at + 301, Err(Refusal::Expired)),
            (at - 300, Ok(())),
            (at - 301, Err(Refusal::Expired)),
        ] {
            assert_eq!(check(webhook.clone(), headers, secret, body, now), expected, "{webhook}");
        }
        let mut wider = webhook;
        wider["tolerance"] = json!("1h");
        assert_eq!(check(wider, headers, secret, body, at + 3600), Ok(()));
    }
}

#[test]
fn each_header_is_needed_once() {
    for Vector { webhook, headers, secret, body, at } in vectors() {
        let now = at.unwrap_or(1_700_000_000);
        for missing in 0..headers.len() {
            let left: Vec<_> = headers.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, h)| *h).collect();
            let refused = check(webhook.clone(), &left, secret, body, now);
            assert!(matches!(refused, Err(Refusal::Unsigned(_))), "{webhook} {left:?}: {refused:?}");
            let header = HeaderName::from_static(headers[missing].0);
            let mut twice: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            twice.append(header, HeaderValue::from_static(headers[missing].1));
            let rule = serde_json::from_value::<Webhook>(webhook.clone()).unwrap().check().unwrap();
            let refused = rule.signing.claim(&twice, now * 1000, rule.tolerance).map(drop);
            assert!(matches!(refused, Err(Refusal::Unsigned(_))), "{webhook}: {refused:?}");
        }
    }
}

#[test]
fn nonsense_is_refused_and_nothing_else() {
    let of = |scheme: &str| json!({ "scheme": scheme, "secrets": ["KEY"] });
    for text in ["", "=", "t=", "t=-1,v1=00", "t=99999999999999999999,v1=00", "v1,", "sha256=", "v0=zz", "é", ","] {
        for (scheme, names) in [
            ("standard", &["webhook-id", "webhook-timestamp", "webhook-signature"][..]),
            ("stripe", &["stripe-signature"]),
            ("github", &["x-hub-signature-256"]),
            ("slack", &["x-slack-request-timestamp", "x-slack-signature"]),
        ] {
            let headers: Vec<_> = names.iter().map(|name| (*name, text)).collect();
            assert!(check(of(scheme), &headers, "AAAA", "", 0).is_err(), "{scheme} {text}");
        }
    }
}
