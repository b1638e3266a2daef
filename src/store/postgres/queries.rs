//! What the sidecar asks.
