//! Somebody at a terminal of their own, with the command line before them.

use crate::node::{Node, binaries};
use rustix::{
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Person {
    master: OwnedFd,
    /// Held so that the terminal outlives the program, and its modes can be looked at.
    _slave: File,
    child: Child,
    screen: Arc<Mutex<String>>,
    _reader: JoinHandle<()>,
}

impl Person {
    /// Somebody who calls `pinfold` with some words, on a terminal that says of itself what it is.
    pub(crate) fn start(
        node: &Node,
        home: &Path,
        words: &[&str],
        terminal: &[(&str, &str)],
    ) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        unlockpt(&master).expect("unlocked");
        resize(&master, 33, 99);
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("text");
        let slave = || File::options().read(true).write(true).open(&name).expect("the terminal");
        let held = slave();
        // The terminal shall be its own, so that keys are signals.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(binaries().join("pinfold"))
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm")
            .envs(terminal.iter().copied())
            .env("HOME", home)
            .env("PINFOLD_URL", format!("http://{}", node.caller.address))
            .env("PINFOLD_TOKEN", node.caller.token.as_deref().unwrap_or_default())
            .stdin(Stdio::from(slave()))
            .stdout(Stdio::from(slave()))
            .stderr(Stdio::from(slave()))
            .spawn()
            .expect("pinfold starts");
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, shown) =
            (File::from(master.try_clone().expect("a copy")), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..count]).into_owned();
                shown.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { master, _slave: held, child, screen, _reader: reader }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        let mut keyboard = File::from(self.master.try_clone().expect("a copy"));
        keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// As with a mouse at the corner of the window.
    pub(crate) fn resizes(&self, rows: u16, columns: u16) {
        resize(&self.master, rows, columns);
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a text, and forgets what was shown up to it.
    pub(crate) async fn sees(&self, text: &str) -> String {
        for _ in 0..400 {
            {
                let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = screen.find(text) {
                    let end = at + text.len();
                    return screen.drain(..end).collect();
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {text:?}: {:?}", self.screen());
    }

    /// Whether the terminal shows what is typed, line by line, as it did before.
    pub(crate) fn has_usual_modes(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    pub(crate) async fn leaves(&mut self) -> i32 {
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().expect("waited for") {
                return status.code().unwrap_or(-1);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not end: {:?}", self.screen());
    }
}

fn resize(master: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("a size");
}

impl Drop for Person {
    fn drop(&mut self) {
        // One that has ended needs nobody.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
