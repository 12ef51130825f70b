//! The promise in Gherkin: its features are in `promise/`, the steps and the world in `tests/`.
