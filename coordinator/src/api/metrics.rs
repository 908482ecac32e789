//! Metrics as OpenMetrics text.

use super::reply::App;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

type Labels = Vec<(String, String)>;

pub(super) async fn metrics(State(daemon): App) -> Response {
    let mut registry = Registry::with_prefix("podbay");
    let workers = gauge(&mut registry, "workers", "Workers by state");
    let status = daemon.status();
    for (state, count) in &status.workers {
        set(&workers, &[("state", state)], u64::from(*count));
    }
    let pool = gauge(&mut registry, "pool_workers", "Workers of a pool by kind");
    let claims = gauge(
        &mut registry,
        "pool_claims",
        "Claims since the start by how they were served",
    );
    let times = gauge(
        &mut registry,
        "pool_claim_microseconds",
        "Warm claims, by quantile",
    );
    let failures = gauge(
        &mut registry,
        "pool_failures_in_a_row",
        "Failed creations in a row",
    );
    for view in &status.pools {
        let profile = view.profile.as_str();
        for (kind, value) in [
            ("warm", view.warm),
            ("creating", view.creating),
            ("claimed", view.claimed),
            ("target", view.target),
            ("queued", view.queued),
        ] {
            set(
                &pool,
                &[("profile", profile), ("kind", kind)],
                u64::from(value),
            );
        }
        set(
            &claims,
            &[("profile", profile), ("served", "warm")],
            view.hits,
        );
        set(
            &claims,
            &[("profile", profile), ("served", "late")],
            view.misses,
        );
        for (quantile, value) in [("0.5", view.claim_p50_us), ("0.99", view.claim_p99_us)] {
            if let Some(value) = value {
                set(
                    &times,
                    &[("profile", profile), ("quantile", quantile)],
                    value,
                );
            }
        }
        let in_a_row = view
            .last_failure
            .as_ref()
            .map_or(0, |f| u64::from(f.in_a_row));
        set(&failures, &[("profile", profile)], in_a_row);
    }
    let engine = gauge(
        &mut registry,
        "engine_reachable",
        "Whether the engine answers",
    );
    set(&engine, &[], u64::from(status.engine.reachable));
    let hot = gauge(
        &mut registry,
        "hot_mounts_available",
        "Whether projects get into warm workers",
    );
    set(&hot, &[], u64::from(status.hot_mounts.available));

    let overlays = gauge(
        &mut registry,
        "overlay_claims",
        "Copy-on-write claims of warm workers by when their overlay was made",
    );
    let (ahead, then) = daemon.overlay_claims();
    set(&overlays, &[("made", "ahead")], ahead);
    set(&overlays, &[("made", "then")], then);

    let guard = gauge(
        &mut registry,
        "egress_guard_available",
        "Whether where workers connect to is kept",
    );
    set(&guard, &[], u64::from(status.guard.available));
    let denied = gauge(
        &mut registry,
        "egress_denied",
        "Connections of a worker that were refused, at least",
    );
    for worker in daemon.workers(false) {
        if let Some(told) = &worker.egress_denied {
            let labels = [
                ("worker", worker.name.as_str()),
                ("profile", &worker.profile),
            ];
            set(&denied, &labels, told.count);
        }
    }

    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Gauge> {
    let family = Family::<Labels, Gauge>::default();
    registry.register(name, help, family.clone());
    family
}

fn set(family: &Family<Labels, Gauge>, labels: &[(&str, &str)], value: u64) {
    let labels = labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    family
        .get_or_create(&labels)
        .set(i64::try_from(value).unwrap_or(i64::MAX));
}
