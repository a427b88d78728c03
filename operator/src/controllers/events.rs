//! Events: published beside the work, never in its way.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use super::conditions::Finding;
use crate::names::FIELD_MANAGER;

/// So many may wait to be published; more are dropped, for they only tell what conditions say too.
const QUEUE: usize = 1_024;
const MAX_NOTE: usize = 1_000;
/// A recorder remembers what it published, so that the same Event again raises a count, and with each it goes through all that
/// it remembers. After so many another one takes its place.
const REMEMBERED: usize = 1_000;

/// Takes Events and publishes them later.
#[derive(Clone, Debug)]
pub struct EventSink {
    sender: mpsc::Sender<(ObjectReference, Event)>,
}

impl EventSink {
    /// A sink, and what publishes its Events until every sink is gone.
    pub fn new(client: Client, instance: String) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, mut receiver) = mpsc::channel::<(ObjectReference, Event)>(QUEUE);
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(instance),
        };
        let publisher = async move {
            let anew = || Recorder::new(client.clone(), reporter.clone());
            let (mut recorder, mut published) = (anew(), 0);
            while let Some((object, event)) = receiver.recv().await {
                if published == REMEMBERED {
                    (recorder, published) = (anew(), 0);
                }
                published += 1;
                if let Err(error) = recorder.publish(&event, &object).await {
                    tracing::warn!(%error, reason = event.reason, "event not published");
                }
            }
        };
        (Self { sender }, publisher)
    }

    /// An Event about `object`.
    pub fn publish(&self, object: &ObjectReference, alarming: bool, reason: &str, note: &str) {
        let type_ = if alarming {
            EventType::Warning
        } else {
            EventType::Normal
        };
        let note = Some(note.chars().take(MAX_NOTE).collect());
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note,
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.sender.try_send((object.clone(), event)).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }

    /// An Event for each condition that changed.
    pub fn publish_news(&self, object: &ObjectReference, news: &[Finding]) {
        for finding in news {
            self.publish(object, finding.alarming, &finding.reason, &finding.message);
        }
    }
}
