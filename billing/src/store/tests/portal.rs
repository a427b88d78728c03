//! Tokens, settings, disputes, audit.

use jiff::SignedDuration;

use super::closing::change;
use super::support::*;
use crate::bill::issue;
use crate::digest::Digest;
use crate::store::{Dispute, Holder, NewToken, Role, Store};

pub(super) async fn a_token_opens_until_it_is_revoked_or_lapses_and_its_sessions_with_it(bench: Bench) {
    let (acme, other) = (
        bench.register("acme").await.ledger,
        bench.register("other").await.ledger,
    );
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let store = &bench.store;
    let holder = |id: &str| Holder {
        token: id.into(),
        provider: String::new(),
        name: "CI".into(),
        role: Role::Finance,
    };
    for (id, seconds) in [("one", 60), ("two", 6000)] {
        let new = NewToken {
            id,
            digest: Digest::of(id.as_bytes()),
            name: "CI",
            role: Role::Finance,
            created_by: "",
            expires_at: later(seconds),
        };
        store.create_token(acme, &new, now()).await.unwrap();
        store
            .open_session(
                Digest::of(format!("s-{id}").as_bytes()),
                acme,
                &holder(id),
                now(),
                later(9000),
            )
            .await
            .unwrap();
    }
    let opened = async |id: &str, second| {
        let token = store
            .holder_of_token(Digest::of(id.as_bytes()), later(second))
            .await
            .unwrap();
        let session = store
            .session(Digest::of(format!("s-{id}").as_bytes()), later(second))
            .await
            .unwrap();
        assert_eq!(token, session, "{id}");
        token
    };
    assert_eq!(opened("one", 59).await, Some((acme, holder("one"))));
    assert_eq!(opened("one", 60).await, None, "lapsed");
    assert_eq!(opened("two", 61).await, Some((acme, holder("two"))));
    assert!(
        !store.revoke_token(other, "two", later(62)).await.unwrap(),
        "not its own"
    );
    assert_eq!(opened("two", 62).await, Some((acme, holder("two"))));
    assert!(store.revoke_token(acme, "two", later(63)).await.unwrap());
    assert!(!store.revoke_token(acme, "two", later(64)).await.unwrap());
    assert_eq!(opened("two", 65).await, None, "revoked");
    let kept = store.tokens(acme).await.unwrap();
    let two = kept.iter().find(|token| token.id == "two").unwrap();
    assert_eq!(
        (two.revoked_at, two.last_used_at),
        (Some(later(63)), Some(later(61))),
        "a use within the minute is not noted again"
    );
    assert!(store.tokens(other).await.unwrap().is_empty());
}

pub(super) async fn an_attempt_to_sign_in_ends_once_in_time_and_at_its_own_provider(bench: Bench) {
    let store = &bench.store;
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let (one, late) = (Digest::of(b"one"), Digest::of(b"late"));
    store.begin_attempt(one, "acme", now(), later(60)).await.unwrap();
    store.begin_attempt(late, "acme", now(), later(60)).await.unwrap();
    assert!(!store.end_attempt(one, "other", later(1)).await.unwrap());
    assert!(
        !store
            .end_attempt(Digest::of(b"none"), "acme", later(1))
            .await
            .unwrap()
    );
    let ends = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.end_attempt(one, "acme", later(59)).await.unwrap() })
    });
    let ended = futures::future::join_all(ends).await;
    assert_eq!(
        ended.into_iter().filter(|ended| *ended.as_ref().unwrap()).count(),
        1
    );
    assert!(
        !store.end_attempt(late, "acme", later(60)).await.unwrap(),
        "too late"
    );
    // The next one forgets who did not come back.
    store
        .begin_attempt(one, "acme", later(60), later(120))
        .await
        .unwrap();
    store
        .begin_attempt(late, "acme", later(60), later(120))
        .await
        .unwrap();
}

pub(super) async fn a_session_of_a_provider_keeps_who_it_is_and_what_that_may(bench: Bench) {
    let acme = bench.register("acme").await.ledger;
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let secret = Digest::of(b"secret");
    for role in Role::ALL {
        let holder = Holder {
            token: String::new(),
            provider: "acme".into(),
            name: "ann (17, https://login.acme.example)".into(),
            role,
        };
        let opened = bench.store.open_session(secret, acme, &holder, now(), later(60));
        opened.await.unwrap();
        let found = bench.store.session(secret, later(59)).await.unwrap();
        assert_eq!(found, Some((acme, holder)));
        assert_eq!(bench.store.session(secret, later(60)).await.unwrap(), None);
        bench.store.close_session(secret).await.unwrap();
    }
}

pub(super) async fn settings_disputes_and_audit_are_a_ledgers_own_and_the_audit_never_changes(bench: Bench) {
    let account = bench.account("acme").await;
    let other = bench.register("other").await.ledger;
    let store = &bench.store;
    let (document, _) = issue(store, &account, november_period(), now()).await.unwrap();
    let acme = account.ledger;
    store.set_setting(acme, "budget", "100").await.unwrap();
    store.set_setting(acme, "budget", "200").await.unwrap();
    assert_eq!(store.settings(acme).await.unwrap()["budget"], "200");
    assert_eq!(store.ledgers_with_setting("budget").await.unwrap(), [acme]);
    store.set_setting(acme, "budget", "").await.unwrap();
    assert!(
        store.settings(acme).await.unwrap().is_empty()
            && store.ledgers_with_setting("budget").await.unwrap().is_empty()
    );
    let dispute = Dispute {
        number: document.number.clone().unwrap(),
        line: "answers".into(),
        reason: "双十一的用量有误".into(),
        opened_by: "finance".into(),
        opened_at: now(),
    };
    store.open_dispute(acme, &dispute).await.unwrap();
    assert_eq!(store.disputes(acme).await.unwrap(), [dispute]);
    assert!(store.disputes(other).await.unwrap().is_empty());
    let viewer = Holder {
        token: "t".into(),
        provider: String::new(),
        name: "CI".into(),
        role: Role::Viewer,
    };
    store
        .note(acme, &viewer, "export usage", "2026-11", now())
        .await
        .unwrap();
    let entries = store.audit(acme, 10).await.unwrap();
    assert_eq!(
        (entries.len(), entries[0].actor.as_str(), entries[0].role.as_str()),
        (1, "CI", "viewer")
    );
    assert!(store.audit(other, 10).await.unwrap().is_empty());
    the_database_itself_refuses_to_change(store, "portal_audit").await;
    assert_eq!(store.audit(acme, 10).await.unwrap(), entries);
}

async fn the_database_itself_refuses_to_change(store: &Store, audit: &str) {
    let mut changes = vec![
        format!("UPDATE {audit} SET actor = 'nobody'"),
        format!("DELETE FROM {audit}"),
    ];
    if matches!(store, Store::Postgres(_)) {
        changes.push(format!("TRUNCATE {audit}"));
    }
    for text in changes {
        let refusal = change(store, text.leak()).await.unwrap_err().to_string();
        assert!(refusal.contains("the audit never changes"), "{refusal}");
    }
}

pub(super) async fn a_page_of_interactions_is_the_beginning_of_the_export(bench: Bench) {
    use futures::TryStreamExt as _;
    let account = bench.account("acme").await;
    let all: Vec<_> = bench
        .store
        .export(account.ledger, "acme", &november())
        .try_collect()
        .await
        .unwrap();
    assert!(all.is_empty());
    bench
        .report(
            (0..5)
                .map(|turn| {
                    by_gateway(
                        &interaction("acme", &format!("t{turn}")),
                        springtide_proto::metering::Delivery::Delivered,
                    )
                })
                .collect(),
        )
        .await;
    let all: Vec<_> = bench
        .store
        .export(account.ledger, "acme", &november())
        .try_collect()
        .await
        .unwrap();
    let some: Vec<_> = bench
        .store
        .export_at_most(account.ledger, "acme", &november(), 3)
        .try_collect()
        .await
        .unwrap();
    assert_eq!((all.len(), &some[..]), (5, &all[..3]));
}

pub(super) async fn what_commands_did_of_no_account_is_listed_newest_first_and_never_changes(bench: Bench) {
    let store = &bench.store;
    store
        .note_of_provider("operator: jo", "drop events", "a", now())
        .await
        .unwrap();
    store
        .note_of_provider("operator: li", "set legal entity", "b", now())
        .await
        .unwrap();
    let said = async |most| -> Vec<_> {
        let entries = store.audit_of_provider(most).await.unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.actor, entry.action, entry.object))
            .collect()
    };
    let entry =
        |actor: &str, action: &str, object: &str| (actor.to_owned(), action.to_owned(), object.to_owned());
    let newest = entry("operator: li", "set legal entity", "b");
    assert_eq!(
        said(9).await,
        [newest.clone(), entry("operator: jo", "drop events", "a")]
    );
    assert_eq!(said(1).await, [newest]);
    the_database_itself_refuses_to_change(store, "provider_audit").await;
    assert_eq!(said(9).await.len(), 2);
}
