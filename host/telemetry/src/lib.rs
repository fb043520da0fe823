//! Tracing and OpenTelemetry set-up, the names of all metrics, build information.
