//! How a provider is asked: how often, by which keys and certificates, and what becomes of it while it is away.

use super::*;

#[tokio::test]
async fn keys_that_changed_are_read_again_and_not_more_than_once_a_minute() {
    let portal = Portal::start().await;
    portal.session().await;
    let read = || portal.acme.script.lock().discoveries;
    assert_eq!(read(), 1, "once for both ways");
    let newer = Key::new("2");
    let sign_in = async || {
        let begun = portal.begin_at("acme").await;
        portal.finish(&begun, newer.sign(&portal.claims(&begun))).await.0
    };
    assert_eq!(sign_in().await, StatusCode::FORBIDDEN);
    assert_eq!(read(), 1, "it was read within the minute");
    portal.bench.clock.set(later(1));
    assert_eq!(sign_in().await, StatusCode::FORBIDDEN, "not its key");
    assert_eq!(sign_in().await, StatusCode::FORBIDDEN);
    assert_eq!(read(), 2, "once more, and no more");
    portal.acme.script.lock().keys = vec![newer.jwk()];
    portal.bench.clock.set(later(2));
    assert_eq!(sign_in().await, StatusCode::OK);
    assert_eq!(read(), 3);
    portal.bench.clock.set(later(2 + 60));
    portal.begin_at("acme").await;
    assert_eq!(read(), 4, "what is an hour old is read anew");
}

#[tokio::test]
async fn a_provider_that_is_away_says_so_and_tokens_still_open() {
    let portal = Portal::start().await;
    portal.acme.script.lock().is_away = true;
    let begin = async || {
        let english = [("accept-language", "en")];
        portal.bench.get("/sign-in/openid-connect/acme", &english).await
    };
    for _ in 0..3 {
        let (status, headers, page) = begin().await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(page.contains("does not answer at the moment") && !headers.contains_key("set-cookie"));
        assert!(page.contains(r#"href="/sign-in?tenant=acme""#), "{page}");
    }
    assert_eq!(
        portal.acme.script.lock().discoveries,
        1,
        "not asked again at once"
    );
    assert_eq!(
        portal.bench.sign_in("token-acme", &[]).await.0,
        StatusCode::SEE_OTHER
    );
    portal.begin_at("other").await;
    portal.acme.script.lock().is_away = false;
    assert_eq!(begin().await.0, StatusCode::SERVICE_UNAVAILABLE);
    portal.bench.clock.set(later(1));
    let begun = portal.begin_at("acme").await;
    portal.acme.script.lock().is_away = true;
    let token = portal.key.sign(&portal.claims(&begun));
    let (status, headers, _) = portal.finish(&begun, token).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "it gave no token");
    assert_eq!(session_in(&headers), None);
}

#[tokio::test]
async fn metadata_that_is_too_long_or_leads_to_where_all_read_along_is_not_followed() {
    let long = "x".repeat(300_000);
    let here = Key::new("1");
    let aside = Played::start(&here)
        .await
        .issuer()
        .replace("127.0.0.1", "localhost");
    for metadata in [
        json!({"jwks_uri": format!("{aside}/keys")}),
        json!({"service_documentation": format!("http://127.0.0.1/{long}")}),
        json!({"authorization_endpoint": "http://login.acme.example/authorize"}),
        json!({"token_endpoint": "http://login.acme.example/token"}),
        json!({"jwks_uri": "http://login.acme.example/keys"}),
        json!({"issuer": "https://login.evil.example"}),
        json!({"token_endpoint": null}),
    ] {
        let portal = Portal::start().await;
        portal.acme.script.lock().metadata = metadata.clone();
        let (status, ..) = portal.bench.get("/sign-in/openid-connect/acme", &[]).await;
        let what: String = metadata.to_string().chars().take(60).collect();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    }
}

#[tokio::test]
async fn a_provider_behind_an_authority_of_its_own_is_trusted_where_the_settings_say_so() {
    let key = Key::new("1");
    let (acme, certificate) = Played::start_with_tls(&key).await;
    let other = Played::start(&key).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, certificate).unwrap();
    let text = settings(&acme, &other);
    let untrusting = bench_with(&text).await;
    let (status, ..) = untrusting.get("/sign-in/openid-connect/acme", &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let said = format!("certificateAuthorityFile: '{}', scopes", file.display());
    let portal = Portal {
        bench: bench_with(&text.replacen("scopes", &said, 1)).await,
        key,
        acme,
        other,
    };
    portal.session().await;
}
