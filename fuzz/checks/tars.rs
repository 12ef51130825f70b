//! Tars that bytes describe, since no fuzzer finds the sum of a header.

const BLOCK: usize = 512;

/// Records of a kind, a mode, a name, a target and a content, each as long as its own byte says.
pub(crate) fn described(mut rest: &[u8]) -> Vec<u8> {
    const KINDS: &[u8] = b"00005555221xgLKSZ3467\0";
    let mut tar = Vec::new();
    while let Some((&[kind, mode], after)) = rest.split_first_chunk::<2>() {
        let (name, after) = counted(after, 100);
        let (target, after) = counted(after, 100);
        let (content, after) = counted(after, 255);
        rest = after;
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name);
        let mode = format!("{:07o}", u32::from(mode) << 4);
        header[100..107].copy_from_slice(mode.as_bytes());
        // One in eight says that it is longer, or shorter, than it is.
        let size = content.len() + if kind >= 224 { usize::from(kind) + BLOCK - 232 } else { 0 };
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[136..147].copy_from_slice(b"14777777777");
        header[148..156].fill(b' ');
        header[156] = KINDS[usize::from(kind) % KINDS.len()];
        header[157..157 + target.len()].copy_from_slice(target);
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        // What is said of the next entry has its own length in it.
        let content = match header[156] {
            b'x' | b'g' => record(content),
            _ => content.to_vec(),
        };
        if matches!(header[156], b'x' | b'g') {
            let at = tar.len() - BLOCK;
            resize(&mut tar[at..], content.len());
        }
        tar.extend_from_slice(&content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn counted(data: &[u8], most: usize) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(*length).min(most).min(rest.len()))
}

/// `length key=value` for `key=value`: the length counts itself.
fn record(content: &[u8]) -> Vec<u8> {
    let mut length = content.len() + 3;
    while format!("{length}").len() + content.len() + 2 > length {
        length += 1;
    }
    [format!("{length} ").as_bytes(), content, b"\n"].concat()
}

fn resize(header: &mut [u8], size: usize) {
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
