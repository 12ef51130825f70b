//! Short texts that name things: the first byte chooses image reference, id, file path or event id.

use contracts::{ImageRef, JobId, event::Position, file::check_path};
use std::path::{Component, Path};

pub(crate) fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match choice % 4 {
        0 => {
            let Ok(image) = ImageRef::new(text) else { return };
            assert_eq!(image.as_str(), text);
            // It becomes a query of Podman's API, and an argument of people's commands.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@".contains(&byte);
            assert!(text.bytes().all(plain) && !text.starts_with(['-', '/']), "{text:?}");
            assert!(!text.contains("//") && !text.split('/').any(|part| part == ".."), "{text:?}");
        }
        1 => {
            let Ok(id) = JobId::new(text) else { return };
            assert_eq!(id.as_str(), text);
            // It becomes a label, a folder and a part of a URL's path.
            assert!(!text.is_empty() && !matches!(text, "." | ".."), "{text:?}");
            assert!(!text.contains(['/', '\0', '\n']), "{text:?}");
        }
        2 => {
            if check_path(text).is_ok() {
                let normal = |part| matches!(part, Component::Normal(_));
                assert!(Path::new(text).components().all(normal), "{text:?}");
            }
        }
        _ => {
            let Ok(position) = text.parse::<Position>() else { return };
            assert_eq!(position.to_string(), text);
        }
    }
}
