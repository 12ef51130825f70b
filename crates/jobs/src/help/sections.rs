//! The text itself, section by section. Pure.

use super::{Facts, Inference, Owner};
use contracts::{
    inference::Caps,
    packages::Registry,
    sandbox::{INFERENCE_HOST, env},
};
use executor::EngineKind;
use gate::Offer;
use std::{fmt::Write, time::Duration};

/// Names of models that are listed; a node with more has a list of its own to ask.
const MOST_NAMES: usize = 32;

pub(super) fn text(facts: &Facts<'_>) -> String {
    let sections = [
        ("", about(facts)),
        ("Network", network(facts)),
        ("Models", models(facts)),
        ("Files", files(facts)),
        ("What is kept", kept(facts)),
        ("Limits", limits(facts)),
        ("What fails here, and what to do instead", fails(facts)),
        ("How it ends", ends(facts)),
    ];
    let mut text = String::new();
    for (title, body) in sections {
        let title = if title.is_empty() { String::new() } else { format!("\n## {title}\n") };
        text += &title;
        text += body.trim_end();
        text.push('\n');
    }
    text
}

fn about(facts: &Facts<'_>) -> String {
    let what = match facts.owner {
        Owner::Job { .. } => "one job",
        Owner::Session { .. } => "one session",
        Owner::Code { .. } => "one piece of code",
    };
    let wall = match facts.engine {
        EngineKind::Direct => {
            "This node is for development: code runs as a process of the host, without a container."
        }
        _ => "Code runs in a sealed container, as an ordinary user without privileges.",
    };
    format!("This is a Pinfold sandbox for {what}. {wall}\n")
}

fn network(facts: &Facts<'_>) -> String {
    if facts.engine == EngineKind::Direct {
        return "Not to be relied on: in a sandbox there would be none.\n".to_owned();
    }
    let nothing = "There is no interface but loopback";
    let Some(policy) = &facts.plan.egress else {
        return format!(
            "None. {nothing}, and no name resolves. Nothing outside can be reached: don't retry, don't look \
             for a proxy.\n"
        );
    };
    let packages = facts.packages.iter().map(|registry| match registry {
        Registry::Pypi => "packages of PyPI: pip install works",
        Registry::Npm => "packages of npm: npm install works",
        Registry::Debian => {
            "packages of Debian: apt-get download works, with http://127.0.0.1:11434/packages/debian as \
             its source; dpkg -x unpacks"
        }
    });
    let allowed: Vec<String> = packages.map(str::to_owned).chain(policy.listed()).collect();
    let more = if allowed.len() > MOST_NAMES { "\n- and more; a refusal says which" } else { "" };
    let listed = allowed[..allowed.len().min(MOST_NAMES)].join("\n- ");
    format!(
        "By a proxy: HTTP_PROXY and HTTPS_PROXY are set. Programs that don't heed them reach the same hosts by \
         https on port 443: their names are 127.0.0.1, where the proxy is. {nothing}. What can be reached, and \
         nothing else:\n- {listed}{more}\n"
    )
}

fn models(facts: &Facts<'_>) -> String {
    let Some(Inference { offer, caps }) = &facts.inference else {
        return "None: this sandbox was not given inference.\n".to_owned();
    };
    let mut text = String::from(
        "Clients of OpenAI, Anthropic and Ollama work as they come, without a key: these are set.\n",
    );
    for name in ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OLLAMA_HOST"] {
        let value = env::INFERENCE.iter().find(|(other, _)| *other == name);
        let value = value.map_or("", |(_, value)| value);
        // Writing to a string can't fail.
        let _written = writeln!(text, "- {name}={value}");
    }
    let _written = writeln!(text, "https://{INFERENCE_HOST}/v1 reaches the same.");
    text += &names(offer);
    text += &budget(caps);
    text
}

fn names(offer: &Offer) -> String {
    let listed = offer.names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>();
    let more = if offer.names.len() > MOST_NAMES { ", and more" } else { "" };
    match (listed.is_empty(), offer.any) {
        (true, true) => {
            "Any model's name is passed on. GET $OPENAI_BASE_URL/models lists them.\n".to_owned()
        }
        (true, false) => "No model is allowed.\n".to_owned(),
        (false, true) => {
            format!("Models: {}{more}. Other names are taken too.\n", listed.join(", "))
        }
        (false, false) => format!("Models: {}{more}. No others.\n", listed.join(", ")),
    }
}

fn budget(caps: &Caps) -> String {
    let bounds = [
        (caps.max_requests, "calls"),
        (caps.max_input_tokens, "tokens sent"),
        (caps.max_output_tokens, "tokens received"),
        (caps.max_concurrent_streams, "calls at a time"),
    ];
    let bounds: Vec<String> =
        bounds.into_iter().filter_map(|(bound, what)| Some(format!("{} {what}", bound?))).collect();
    match bounds.is_empty() {
        true => String::new(),
        false => format!("At most: {}.\n", bounds.join(", ")),
    }
}

fn files(facts: &Facts<'_>) -> String {
    let (places, limits) = (facts.places, &facts.plan.limits);
    let size = |bytes| match facts.engine {
        EngineKind::Direct => String::new(),
        _ => format!(", {}", bytes_text(bytes)),
    };
    let mut text = format!(
        "- {}: the working directory, with the input files{}\n- {}: scratch, and HOME{}\n- {}: \
         job.json if there is one, and artifacts/\n",
        places.workspace,
        size(limits.workspace_bytes),
        places.tmp,
        size(limits.tmp_bytes),
        places.job,
    );
    if facts.engine != EngineKind::Direct {
        let largest = bytes_text(limits.file_size_bytes);
        let _written = writeln!(
            text,
            "Nothing else can be written. These live in memory and count towards its limit. One file: at \
             most {largest}."
        );
    }
    text
}

fn kept(facts: &Facts<'_>) -> String {
    let output = bytes_text(facts.plan.limits.output_bytes);
    let streams =
        format!("The first {output} of stdout and of stderr are kept; more is dropped.\n");
    match &facts.owner {
        Owner::Job { artifacts, .. } => {
            let mut text = streams;
            let _written = writeln!(
                text,
                "Files are kept if they lie in $CYNODE_ARTIFACTS_DIR ({}/artifacts)",
                facts.places.job
            );
            if !artifacts.is_empty() {
                let _written =
                    writeln!(text, "or match, in the working directory: {}", artifacts.join(", "));
            }
            text + "Everything else is gone when the command ends, background processes included.\n"
        }
        Owner::Session { .. } => {
            streams
                + "Files, variables and background processes stay until the session ends; then all is \
                   gone.\n"
        }
        Owner::Code { .. } => streams + "Everything else is gone when the code ends.\n",
    }
}

fn limits(facts: &Facts<'_>) -> String {
    let limits = &facts.plan.limits;
    let mut text = match &facts.owner {
        Owner::Job { timeout, .. } => {
            format!("- time: {}; then TERM and, soon after, KILL\n", seconds(*timeout))
        }
        Owner::Session { idle, lifetime } => format!(
            "- the session ends after {} without a command, and {} after its start\n",
            seconds(*idle),
            seconds(*lifetime)
        ),
        Owner::Code { timeout } => {
            format!("- time: {}; then it is interrupted\n", seconds(*timeout))
        }
    };
    if facts.engine != EngineKind::Direct {
        let _written = writeln!(
            text,
            "- memory: {}, no swap\n- processor: {} cores\n- processes and threads: {}\n- open files: {} \
             per process",
            bytes_text(limits.memory_bytes),
            limits.cpus,
            limits.pids,
            limits.open_files
        );
    }
    text
}

fn fails(facts: &Facts<'_>) -> String {
    if facts.engine == EngineKind::Direct {
        return "- writing outside of the folders above: write to the working directory\n"
            .to_owned();
    }
    let fetching = match facts.plan.egress {
        Some(_) => "to any other host than those above",
        None => "to anywhere",
    };
    let clients =
        [(Registry::Pypi, "pip, "), (Registry::Npm, "npm, "), (Registry::Debian, "apt, ")];
    let clients = clients.iter().filter(|(registry, _)| !facts.packages.holds(*registry));
    let clients: String = clients.map(|(_, client)| *client).collect();
    format!(
        "- {clients}cargo, git clone, curl {fetching}: use what the image has; what is missing must \
         come with the image or as an input file. Say what you need instead of trying again\n\
         - sudo, su, mount, ping, docker, unshare, strace, gdb: there are no privileges to get\n\
         - writing to /usr, /etc, /opt, /root: write to the working directory or /tmp\n\
         - a server is reached at 127.0.0.1 and from this sandbox only\n"
    )
}

fn ends(facts: &Facts<'_>) -> String {
    let exit = "- 0 succeeds, any other exit code fails and is passed on\n\
                - 127: the command was not found; 126: it can't be executed\n\
                - 128+n: killed by signal n; 137 is KILL: out of memory (reason `oom`) or too much output \
                  (reason `output_limit`)\n";
    let disk = "- reason `disk_limit`: it failed while a folder was full\n";
    match facts.owner {
        Owner::Job { .. } => {
            format!("{exit}{disk}- after its time the status is `timeout`, without an exit code\n")
        }
        Owner::Session { .. } | Owner::Code { .. } => {
            format!(
                "{exit}- code that runs too long is interrupted and ends with 124, reason `deadline`\n"
            )
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}
