//! Guests that misbehave, one behaviour each.
