//! The settings' file: what is refused, and by which words.
