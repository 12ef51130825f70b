#!/usr/bin/env bash
# What `just bench sessions` compares with: the llm-sandbox package with its Podman client, from PyPI, in a
# virtual environment under target/, and the IPython that it would install in each of its interactive sandboxes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.3.46
home=$PWD/target/pinfold/llm-sandbox
stamp=$home/.made-$version-2
[[ ! -e $stamp ]] || exit 0

rm -rf "$home"
python3 -m venv "$home"
"$home/bin/pip" install --quiet --disable-pip-version-check "llm-sandbox[podman]==$version" podman==5.8.0

# As a virtual environment looks from inside the image: an interpreter, and a pip that has nothing left to do.
inside=$home/inside
mkdir -p "$inside/bin" "$inside/plain"
ln -s /usr/bin/python3 "$inside/plain/python"
"$home/bin/pip" install --quiet --disable-pip-version-check --target "$inside/packages" ipython==9.4.0
cat >"$inside/bin/python" <<'EOF'
#!/bin/sh
PYTHONPATH=/tmp/.sandbox-venv/packages exec /usr/bin/python3 "$@"
EOF
printf '#!/bin/sh\nexit 0\n' >"$inside/bin/pip"
chmod 755 "$inside/bin/python" "$inside/bin/pip"
touch "$stamp"
