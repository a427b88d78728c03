//! What opens nothing: wrong tokens, wrong browsers, wrong providers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;

use super::provider::signing_input;
use super::*;

impl Portal {
    /// Nobody was let in, and nothing was noted.
    async fn opened_nothing(&self, answer: &(StatusCode, header::HeaderMap, String), what: &str) {
        let (status, headers, _) = answer;
        assert!(status.is_client_error(), "{what}: {status}");
        assert_eq!(session_in(headers), None, "{what}");
        assert!(!headers.contains_key("refresh"), "{what}");
        assert!(self.bench.store.audit(1, 10).await.unwrap().is_empty(), "{what}");
        assert!(self.bench.store.audit(2, 10).await.unwrap().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_claim_that_is_not_what_it_must_be_opens_nothing() {
    let portal = Portal::start().await;
    let (minute, at) = (60, now().as_second());
    let changes = [
        ("nonce of another attempt", json!({"nonce": "x".repeat(43)})),
        ("no nonce", json!({"nonce": null})),
        ("another issuer", json!({"iss": portal.other.issuer()})),
        (
            "an issuer with a slash",
            json!({"iss": format!("{}/", portal.acme.issuer())}),
        ),
        ("no issuer", json!({"iss": null})),
        ("for another client", json!({"aud": "elsewhere"})),
        (
            "for others too",
            json!({"aud": ["springtide", "elsewhere"], "azp": "springtide"}),
        ),
        ("for nobody", json!({"aud": []})),
        ("made for another client", json!({"azp": "elsewhere"})),
        ("expired", json!({"exp": at})),
        ("no end", json!({"exp": null})),
        ("made long ago", json!({"iat": at - 12 * minute})),
        ("made in the future", json!({"iat": at + 2 * minute})),
        ("no time", json!({"iat": null})),
        ("no subject", json!({"sub": null})),
        ("an empty subject", json!({"sub": ""})),
        ("no role", json!({"groups": ["golf"]})),
        ("no roles", json!({"groups": null})),
    ];
    for (what, change) in changes {
        let begun = portal.begin_at("acme").await;
        let mut claims = portal.claims(&begun);
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        let answer = portal.finish(&begun, portal.key.sign(&claims)).await;
        portal.opened_nothing(&answer, what).await;
        let says_access = answer.2.contains("gives you no access here");
        assert_eq!(
            says_access,
            what.starts_with("no role"),
            "{what} says what the person can do"
        );
    }
}

#[tokio::test]
async fn a_signature_that_proves_nothing_opens_nothing() {
    let portal = Portal::start().await;
    let public = portal.key.public().to_vec();
    // SubjectPublicKeyInfo of a P-256 key is this and the point.
    let spki = [
        &b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"[..],
        &public,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&spki)
    );
    let shared: [(&str, Vec<u8>); 6] = [
        ("HS256 by the public point", public),
        ("HS256 by the public key", spki),
        ("HS256 by the public key's PEM", pem.into_bytes()),
        (
            "HS256 by the public JWK",
            portal.key.jwk().to_string().into_bytes(),
        ),
        ("HS256 by the client's secret", b"s3cret".to_vec()),
        ("HS256 by nothing", Vec::new()),
    ];
    for (what, secret) in shared {
        for kid in [json!("1"), Value::Null] {
            let begun = portal.begin_at("acme").await;
            let mut header = json!({"alg": "HS256", "typ": "JWT"});
            if !kid.is_null() {
                header["kid"] = kid;
            }
            let input = signing_input(&header, &portal.claims(&begun));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
            let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
            let answer = portal.finish(&begun, token).await;
            portal.opened_nothing(&answer, what).await;
        }
    }
    for alg in ["none", "None", "NONE"] {
        let begun = portal.begin_at("acme").await;
        let input = signing_input(&json!({"alg": alg, "typ": "JWT"}), &portal.claims(&begun));
        for token in [format!("{input}."), input.clone(), format!("{input}.AAAA")] {
            let begun_again = Begun {
                cookie: begun.cookie.clone(),
                sent: begun.sent.clone(),
            };
            let answer = portal.finish(&begun_again, token).await;
            portal.opened_nothing(&answer, alg).await;
        }
    }
    let begun = portal.begin_at("acme").await;
    let forged = Key::new("1").sign(&portal.claims(&begun));
    let answer = portal.finish(&begun, forged).await;
    portal
        .opened_nothing(&answer, "another key under a known name")
        .await;

    let begun = portal.begin_at("acme").await;
    let mut claims = portal.claims(&begun);
    claims["groups"] = json!(["staff"]);
    let honest = portal.key.sign(&claims);
    claims["groups"] = json!(["it"]);
    let parts: Vec<_> = honest.split('.').collect();
    let raised = format!(
        "{}.{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(claims.to_string()),
        parts[2]
    );
    let answer = portal.finish(&begun, raised).await;
    portal.opened_nothing(&answer, "claims that were changed").await;
}

#[tokio::test]
async fn what_comes_back_opens_once_and_for_the_browser_that_was_sent_alone() {
    let portal = Portal::start().await;
    let begun = portal.begin_at("acme").await;
    let other_browser = portal.begin_at("acme").await;
    portal.acme.script.lock().token = Some(portal.key.sign(&portal.claims(&begun)));
    let path = format!("{RETURN}?code=c0de&state={}", begun.sent["state"]);
    for (what, path, cookie) in [
        ("no cookie", path.as_str(), ""),
        ("another browser", &path, &other_browser.cookie),
        ("an empty cookie", &path, "__Host-springtide_sign_in="),
        ("no state", &format!("{RETURN}?code=c0de"), &begun.cookie),
        (
            "another state",
            &format!("{RETURN}?code=c0de&state={}", "x".repeat(43)),
            &begun.cookie,
        ),
        (
            "the state of another",
            &format!("{RETURN}?code=c0de&state={}", other_browser.sent["state"]),
            &begun.cookie,
        ),
    ] {
        let answer = portal.come_back(path, cookie).await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{what}");
        portal.opened_nothing(&answer, what).await;
    }
    assert!(
        portal.acme.script.lock().exchanges.is_empty(),
        "no code was tried"
    );
    // All that ended nothing: whoever was sent comes back.
    let opened = portal.come_back(&path, &begun.cookie).await;
    assert_eq!(opened.0, StatusCode::OK, "{}", opened.2);
    let replayed = portal.come_back(&path, &begun.cookie).await;
    assert_eq!(
        (replayed.0, session_in(&replayed.1)),
        (StatusCode::BAD_REQUEST, None)
    );
    assert_eq!(
        portal.acme.script.lock().exchanges.len(),
        1,
        "the code was used once"
    );
}

#[tokio::test]
async fn an_attempt_that_failed_or_took_too_long_is_over() {
    let portal = Portal::start().await;
    let begun = portal.begin_at("acme").await;
    let refused = portal.finish(&begun, "x.y.z".into()).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let again = portal
        .finish(&begun, portal.key.sign(&portal.claims(&begun)))
        .await;
    portal.opened_nothing(&again, "a second way back").await;
    let slow = portal.begin_at("acme").await;
    portal.bench.clock.set(later(10));
    let mut claims = portal.claims(&slow);
    (claims["iat"], claims["exp"]) = (json!(later(10).as_second()), json!(later(15).as_second()));
    let answer = portal.finish(&slow, portal.key.sign(&claims)).await;
    assert_eq!(answer.0, StatusCode::BAD_REQUEST);
    portal.opened_nothing(&answer, "ten minutes").await;
    // What the provider itself declines needs no token.
    let declined = portal.begin_at("acme").await;
    let path = format!(
        "{RETURN}?error=access_denied&error_description=%3Cb%3E&state={}",
        declined.sent["state"]
    );
    let answer = portal.come_back(&path, &declined.cookie).await;
    portal.opened_nothing(&answer, "declined").await;
    assert!(!answer.2.contains("access_denied") && !answer.2.contains("<b>"));
}

#[tokio::test]
async fn a_provider_speaks_for_no_other_tenant_and_is_not_mixed_up_with_another() {
    let portal = Portal::start().await;
    // Who was sent to the one provider comes back as if from the other, which is honest or not.
    let begun = portal.begin_at("acme").await;
    for played in [&portal.acme, &portal.other] {
        played.script.lock().token = Some(portal.key.sign(&portal.claims(&begun)));
    }
    let other_return = format!(
        "{}?code=c0de&state={}",
        RETURN.replace("acme", "other"),
        begun.sent["state"]
    );
    let answer = portal.come_back(&other_return, &begun.cookie).await;
    portal.opened_nothing(&answer, "the way back of another").await;
    assert!(
        portal.other.script.lock().exchanges.is_empty(),
        "the other provider never has the code"
    );
    // As the first provider's own answer names it.
    let path = |iss: &str| format!("{RETURN}?code=c0de&state={}&iss={iss}", begun.sent["state"]);
    let mixed = portal
        .come_back(&path(&portal.other.issuer()), &begun.cookie)
        .await;
    portal.opened_nothing(&mixed, "another issuer's answer").await;
    assert!(portal.acme.script.lock().exchanges.is_empty());
    // One firm's provider that vouches for people of the other lets them in to its own firm.
    let begun = portal.begin_at("acme").await;
    let mut claims = portal.claims(&begun);
    (claims["tenant"], claims["email"]) = (json!("other"), json!("bob@other.example"));
    portal.acme.script.lock().token = Some(portal.key.sign(&claims));
    let path = format!(
        "{RETURN}?code=c0de&state={}&iss={}",
        begun.sent["state"],
        portal.acme.issuer()
    );
    let (status, headers, _) = portal.come_back(&path, &begun.cookie).await;
    assert_eq!(status, StatusCode::OK);
    let (_, _, page) = portal
        .bench
        .get("/portal", &[("cookie", &session_in(&headers).unwrap())])
        .await;
    assert!(page.contains("&lt;b&gt;acme") && !page.contains("&lt;b&gt;other"));
    // A UID pins it to one account of a name.
    let pinned = settings(&portal.acme, &portal.other).replace(
        "{tenant: acme,",
        "{tenant: acme, tenantUid: uid-of-who-comes-after,",
    );
    let later = Portal {
        bench: bench_with(&pinned).await,
        key: Key::new("1"),
        acme: Played::start(&portal.key).await,
        other: Played::start(&portal.key).await,
    };
    let begun = later.begin_at("acme").await;
    portal.acme.script.lock().token = Some(portal.key.sign(&portal.claims(&begun)));
    let path = format!("{RETURN}?code=c0de&state={}", begun.sent["state"]);
    let answer = later.come_back(&path, &begun.cookie).await;
    assert!(answer.2.contains("gives you no access here"), "{}", answer.2);
    later.opened_nothing(&answer, "another account of the name").await;
}

#[tokio::test]
async fn beginning_over_and_over_wears_out_the_address() {
    let portal = Portal::start().await;
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..120 {
        let from = [("x-forwarded-for", "192.0.2.8")];
        let (status, ..) = portal.bench.get("/sign-in/openid-connect/acme", &from).await;
        statuses.insert(status.as_u16());
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [303, 429]);
}
