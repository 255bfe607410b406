use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Signer {
    ed: Ed25519KeyPair,
}

impl Signer {
    fn new() -> Signer {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer { ed: Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap() }
    }

    fn set(&self) -> Value {
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": b64(self.ed.public_key().as_ref()) },
            { "kty": "oct", "kid": "hs", "alg": "HS256", "k": b64(SECRET) },
            { "kty": "oct", "kid": "short", "k": b64(b"short") },
            { "kty": "OKP", "crv": "Ed25519", "kid": "seals", "use": "enc", "x": b64(self.ed.public_key().as_ref()) },
            { "kty": "new", "kid": "of another kind" },
        ] })
    }

    fn token(&self, header: Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
        let signature = match header["alg"].as_str().unwrap() {
            "EdDSA" => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            "HS256" => {
                // What a public key would sign, were it taken for a secret.
                let secret = if header["kid"] == "ed" { self.ed.public_key().as_ref() } else { SECRET };
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                ring::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{signed}.{}", b64(&signature))
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "aud": ["airlock", "other"], "exp": now() + 300, "sub": "u-7", "name": "Ada",
        "app": { "tenant": "acme" }, "scope": "Script.Read orders.*",
    })
}

fn settings(jwks: Jwks) -> JwtSettings {
    JwtSettings {
        jwks,
        issuer: "https://id.example.com".to_owned(),
        audience: "airlock".to_owned(),
        user_claim: "sub".to_owned(),
        tenant_claim: "app.tenant".to_owned(),
        permissions_claim: "scope".to_owned(),
    }
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn a_token_holds_for_its_issuer_audience_time_and_key() {
    let signer = Signer::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), signer.set().to_string()).unwrap();
    let jwt = Jwt::new(settings(Jwks::File(file.path().to_owned()))).unwrap();
    let ed = json!({ "alg": "EdDSA", "kid": "ed" });
    let claimed = jwt.verify(&signer.token(ed.clone(), &claims())).await.unwrap();
    assert_eq!((claimed.tenant.as_str(), claimed.user.id.as_str(), claimed.user.name.as_str()), ("acme", "u-7", "Ada"));
    assert!(claimed.user.permissions.hold("orders.view") && !claimed.user.permissions.hold("Script.Update"));

    for (header, change, holds) in [
        (json!({ "alg": "HS256", "kid": "hs" }), json!({}), true),
        (json!({ "alg": "EdDSA" }), json!({}), true),
        (ed.clone(), json!({ "aud": "airlock" }), true),
        (ed.clone(), json!({ "scope": ["orders.view"] }), true),
        (ed.clone(), json!({ "scope": null }), true),
        (ed.clone(), json!({ "exp": now() - 120 }), false),
        (ed.clone(), json!({ "exp": null }), false),
        (ed.clone(), json!({ "exp": "never" }), false),
        (ed.clone(), json!({ "nbf": now() + 120 }), false),
        (ed.clone(), json!({ "iss": "https://evil.example" }), false),
        (ed.clone(), json!({ "iss": null }), false),
        (ed.clone(), json!({ "aud": "other" }), false),
        (ed.clone(), json!({ "aud": null }), false),
        (ed.clone(), json!({ "sub": null }), false),
        (ed.clone(), json!({ "sub": 7 }), false),
        (ed.clone(), json!({ "app": {} }), false),
        (ed, json!({ "scope": [1] }), false),
        (json!({ "alg": "EdDSA", "kid": "other" }), json!({}), false),
        (json!({ "alg": "EdDSA", "kid": "seals" }), json!({}), false),
        (json!({ "alg": "HS256", "kid": "ed" }), json!({}), false),
        (json!({ "alg": "HS256", "kid": "short" }), json!({}), false),
        (json!({ "alg": "none", "kid": "ed" }), json!({}), false),
        (json!({ "alg": "RS256", "kid": "ed" }), json!({}), false),
    ] {
        let token = signer.token(header.clone(), &with(change.clone()));
        assert_eq!(jwt.verify(&token).await.is_some(), holds, "{header} {change}");
    }
    let token = signer.token(json!({ "alg": "EdDSA", "kid": "ed" }), &claims());
    let other = Signer::new().token(json!({ "alg": "EdDSA", "kid": "ed" }), &claims());
    let (body, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    for wrong in [other.clone(), format!("{body}.{signature}"), format!("{body}."), "a.b.c".into(), String::new()] {
        assert_eq!(jwt.verify(&wrong).await, None, "{wrong}");
    }
}

/// RFC 7515, appendix A.2: a key and a signature that others made.
#[test]
fn rs256_is_as_its_specification_says() {
    crypto::install();
    let set = json!({ "keys": [{ "kty": "RSA", "e": "AQAB", "n":
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }] });
    let keys = read(set.to_string().as_bytes(), false).unwrap();
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let verify = |message: &str| {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &keys[0].key, Algorithm::RS256).unwrap()
    };
    assert!(verify(message));
    assert!(!verify(&message.replace("eyJpc3Mi", "eyJpc3Nj")));
}

#[tokio::test]
async fn keys_come_from_a_url_and_are_fetched_again_for_one_that_is_not_known() {
    let (signer, server) = (Signer::new(), MockServer::start().await);
    let answer = ResponseTemplate::new(200).set_body_json(signer.set());
    Mock::given(path("/keys")).respond_with(answer).expect(1).mount(&server).await;
    let url = url::Url::parse(&format!("{}/keys", server.uri())).unwrap();
    let jwt = Jwt::new(settings(Jwks::Url(url))).unwrap();
    let token = signer.token(json!({ "alg": "EdDSA", "kid": "ed" }), &claims());
    for _ in 0..3 {
        assert!(jwt.verify(&token).await.is_some());
    }
    // Nobody makes the host flood the provider.
    let unknown = signer.token(json!({ "alg": "EdDSA", "kid": "next" }), &claims());
    assert_eq!(jwt.verify(&unknown).await, None);
    let shared = signer.token(json!({ "alg": "HS256", "kid": "hs" }), &claims());
    assert_eq!(jwt.verify(&shared).await, None, "a secret that a URL answers is none");
}

#[tokio::test]
async fn without_keys_nobody_is_let_in() {
    let server = MockServer::start().await;
    Mock::given(path("/keys")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    let url = url::Url::parse(&format!("{}/keys", server.uri())).unwrap();
    let jwt = Jwt::new(settings(Jwks::Url(url))).unwrap();
    assert_eq!(jwt.verify(&Signer::new().token(json!({ "alg": "EdDSA", "kid": "ed" }), &claims())).await, None);
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in ["", "{}", r#"{"keys": []}"#] {
        std::fs::write(file.path(), content).unwrap();
        assert!(Jwt::new(settings(Jwks::File(file.path().to_owned()))).is_err(), "{content}");
    }
}
