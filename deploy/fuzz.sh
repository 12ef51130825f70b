#!/usr/bin/env bash
# Fuzzes what parses hostile bytes:
#   deploy/fuzz.sh [TARGET|all] [SECONDS]     each target for so long (60), adding to fuzz/target/found
#   deploy/fuzz.sh --minimise [TARGET|all]    replaces fuzz/corpus by the least of it and of what was found
# It builds on the stable toolchain: libFuzzer's counters are LLVM's own pass, asked for by hand. There is no address
# sanitizer, which only nightly has: what is fuzzed here is safe Rust, and its assertions are what fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

minimise=
if [[ ${1:-} == --minimise ]]; then
  minimise=yes
  shift
fi
seconds=${2:-60}
((seconds > 0)) || { echo "fuzz: SECONDS must be above 0" >&2; exit 64; }
target=$(rustc -vV | sed -n 's/^host: //p')
if [[ ${1:-all} == all ]]; then
  mapfile -t names < <(find targets -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
else
  names=("$1")
fi

flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing)
bins=()
for name in "${names[@]}"; do bins+=(--bin "$name"); done
# With a target named, the flags are not for build scripts, which have no libFuzzer to count for.
RUSTFLAGS="${flags[*]}" cargo build --release --quiet --target "$target" "${bins[@]}"

for name in "${names[@]}"; do
  program=target/$target/release/$name
  found=target/found/$name
  mkdir -p "$found" "corpus/$name" target/crashes
  if [[ -n $minimise ]]; then
    least=$(mktemp -d)
    # Every line that was reached, not every count of it: a few hundred small files and not thousands.
    "$program" -set_cover_merge=1 -use_counters=0 -max_len=1024 "$least" "corpus/$name" "$found" 2>/dev/null
    # What failed once stays, whatever else reaches the same lines.
    find "corpus/$name" -type f ! -name 'failed-*' -delete
    cp "$least"/* "corpus/$name/"
    rm -rf "$least"
    echo "fuzz: $name: $(find "corpus/$name" -type f | wc -l) inputs, $(cat "corpus/$name"/* | wc -c) bytes"
  else
    echo "fuzz: $name for $seconds s"
    # One that fails doesn't keep the others from running.
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 \
      -verbosity=0 -artifact_prefix="target/crashes/$name-" "$found" "corpus/$name" 2>&1 |
      grep -E 'panicked|assert|^stat::number_of_executed|Test unit written|ERROR' || true
    if compgen -G "target/crashes/$name-*" >/dev/null; then
      echo "fuzz: $name FAILED: fuzz/target/crashes" >&2
      failed=yes
    fi
  fi
done
[[ -z ${failed:-} ]]
