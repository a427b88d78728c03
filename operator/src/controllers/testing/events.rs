//! Events of a scenario, as they reach its API server.

use std::sync::Arc;

use http::Method;
use k8s_openapi::api::core::v1::ObjectReference;

use super::{Call, EventSink, Scenario};

/// The reason of an Event that only marks the end of those before it.
const LAST_EVENT: &str = "LastEvent";

impl Scenario {
    /// Its Events reach the API server.
    pub(crate) fn with_events(mut self) -> Self {
        let (events, publisher) = EventSink::new(self.api.client(), "test".to_owned());
        tokio::spawn(publisher);
        Arc::get_mut(&mut self.context).unwrap().events = events;
        self
    }

    /// Reasons and notes of the Events until now.
    pub(crate) async fn events(&self) -> Vec<(String, String)> {
        // Events are published in their order: when this one is there, so are all before it. Its reason is new, for one that is
        // repeated is only counted.
        let last = format!("{LAST_EVENT}{}", self.api.calls(&Method::POST, "/events").len());
        let object = ObjectReference::default();
        self.context.events.publish(&object, false, &last, "");
        loop {
            let calls = self.api.calls(&Method::POST, "/events");
            let text = |call: &Call, field: &str| call.body[field].as_str().unwrap_or_default().to_owned();
            if calls.iter().any(|call| text(call, "reason") == last) {
                let events = calls
                    .iter()
                    .map(|call| (text(call, "reason"), text(call, "note")));
                return events
                    .filter(|(reason, _)| !reason.starts_with(LAST_EVENT))
                    .collect();
            }
            tokio::task::yield_now().await;
        }
    }
}
