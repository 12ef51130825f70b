#!/bin/sh
# Uses inference as a shell script does that knows OpenAI's dialect: curl.sh CASE
#
# Prints one line of JSON; README.md has the cases and the line. curl reads no variable for its
# server, so this takes OPENAI_BASE_URL. It picks what it needs out of an answer and is no parser:
# a text ends for it at the first character that JSON escapes.
set -u

model=${MODEL:-dev}
hello='hello from the sandbox'
shown_characters=1000
cases='unary stream tools embed models abort large error-429 error-500 error-529'
for fault in bytes cut error-in-200 gzip huge malformed redirect reset silent slow-headers stall; do
  cases="$cases $fault whole-$fault"
done

name=${1:-none}
case " $cases " in
*" $name "*) ;;
*)
  echo "usage: $0 $(echo "$cases" | tr ' ' '|')" >&2
  exit 1
  ;;
esac
case $name in
*silent | *slow-headers | *stall) patience_seconds=5 ;;
*) patience_seconds=30 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The body comes by standard input, the answer goes to standard output. Where the reader has enough
# and leaves, curl goes too. Its exit code counts any status from 400 on as a failure.
call() {
  path=$1
  shift
  curl --silent --no-buffer --fail-with-body --max-time "$patience_seconds" \
    --write-out '%{stderr}%{http_code}' "$@" "$OPENAI_BASE_URL$path" 2>"$work/status"
  echo $? >"$work/code"
}

question() {
  printf '{"model":"%s","messages":[{"role":"user","content":"%s"}]%s}' "$1" "$2" "${3:-}"
}

ask() { call /chat/completions --header 'content-type: application/json' --data-binary @-; }
whole() { question "$1" "${2:-$hello}" | ask; }
stream() {
  question "$1" "${2:-$hello}" ',"stream":true,"stream_options":{"include_usage":true}' | ask
}

tools() {
  question "$model" 'use the tool' ',"tools":[{"type":"function","function":{"name":"weather",
    "parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]' |
    ask
}

embed() {
  printf '{"model":"%s","input":["one text","and another"]}' "$model" |
    call /embeddings --header 'content-type: application/json' --data-binary @-
}

# The first three lines that say something; a chat's first chunk says nothing yet.
three_pieces() { awk '{ print } /"content": ?"[^"]/ && ++seen == 3 { exit }'; }

large() {
  head -c 10485761 /dev/zero | tr '\0' x >"$work/text"
  # Too long for an argument, so it does not go through `question`.
  { printf '{"model":"%s","messages":[{"role":"user","content":"' "$model" &&
    cat "$work/text" && printf '"}]}'; } | ask
}

# All strings that have this name, one on a line, without what follows an escape.
strings() {
  awk -v key="\"$1\": ?\"" '{
    rest = $0
    while (match(rest, key)) {
      rest = substr(rest, RSTART + RLENGTH)
      if (match(rest, /["\\]/) != 1) print substr(rest, 1, RSTART ? RSTART - 1 : length(rest))
    }
  }' "$work/answer"
}

# The last number or string that has this name, or null.
last() {
  found=$(grep -aoE "\"$1\": ?(\"[^\"]*\"|[0-9]+)" "$work/answer" | tail -n 1 | sed 's/^[^:]*: *//')
  echo "${found:-null}"
}

case $name in
unary) whole "$model" ;;
stream) stream "$model" ;;
tools) tools ;;
embed) embed ;;
models) call /models ;;
abort) stream "$model" "$(yes word | head -n 500 | tr '\n' ' ')" | three_pieces ;;
large) large ;;
error-[0-9]*) whole "fail-${name#error-}" ;;
whole-*) whole "fail-${name#whole-}" ;;
*) stream "fail-$name" ;;
esac >"$work/answer"

case $name in
tools)
  printf '%s(%s)\n' "$(strings name)" \
    "$(grep -aoE '"arguments": ?"\{\\"[a-z]+' "$work/answer" | sed 's/.*"//')"
  ;;
embed) grep -aoE '"embedding": ?\[[^]]*' "$work/answer" | awk -F, '{ print NF " " }' ;;
models) strings id | sed 's/$/ /' ;;
*) strings content ;;
esac >"$work/pieces"
text=$(tr -d '\n' <"$work/pieces" && echo .)
text=${text%.}

code=$(cat "$work/code")
status=$(cat "$work/status")
error=null
if [ "$name" = abort ] && [ "$code" -eq 23 ]; then
  # It could not write any more: the reader left, as it should.
  :
elif [ "$code" -ne 0 ]; then
  error="\"curl $code\""
elif [ "$status" -ge 300 ]; then
  error="\"HTTP $status\""
fi
outcome=ok
[ "$error" = null ] || outcome=error
[ "$outcome" = error ] && [ "$status" -ge 300 ] || status=null
usage="{\"prompt_tokens\":$(last prompt_tokens),\"completion_tokens\":$(last completion_tokens)}"
case $usage in *null*) usage=null ;; esac

printf '{"case":"%s","outcome":"%s","text":"%s","length":%d,"pieces":%d,"finish":%s,"usage":%s,' \
  "$name" "$outcome" "$(printf '%s' "$text" | head -c "$shown_characters")" "${#text}" \
  "$(wc -l <"$work/pieces")" "$(last finish_reason)" "$usage"
printf '"error":%s,"status":%s,"message":%s}\n' "$error" "$status" "$error"
