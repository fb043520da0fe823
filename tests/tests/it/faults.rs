//! A plugin that misbehaves costs its own calls and nothing else.
