# Runs cells of languages whose programs end with them: each is written to a file, built where the
# language wants that, and run. Files stay for the next cell, and so does the environment; nothing else.
#
# Requests come on descriptor 3, events go to descriptor 4. Arguments: the kernel's name, so that two
# kernels don't write to one file, and the image, to tell what is missing where.

folder=cell${1#once}
image=$2
interrupted=
# What runs in the foreground is interrupted with us, and ends by it; we only go no further.
trap 'interrupted=yes' INT

run() {
  local language=$1 code=$2 tool file build=() program=("$folder/main")
  case $language in
    go) file=main.go tool=go build=(go build -o "$folder/main" "$folder/$file") ;;
    cpp) file=main.cpp tool=g++ build=(g++ -I . -o "$folder/main" "$folder/$file") ;;
    rust) file=main.rs tool=rustc build=(rustc --edition 2021 -o "$folder/main" "$folder/$file") ;;
    java) file=Main.java tool=java program=(java "$folder/$file") ;;
    ruby) file=main.rb tool=ruby program=(ruby -I . "$folder/$file") ;;
    r) file=main.R tool=Rscript program=(Rscript "$folder/$file") ;;
  esac
  # What a pool starts a kernel with, so that it is known to answer.
  [[ -n $code ]] || return 0
  if ! command -v "$tool" >/dev/null; then
    echo "pinfold: $language needs $tool, which is not in the image $image" >&2
    return 127
  fi
  mkdir -p "$folder" && printf '%s' "$code" >"$folder/$file" || return 1
  if ((${#build[@]})); then
    # Never what an earlier cell left.
    rm -rf "$folder/main"
    "${build[@]}" </dev/null || return 1
  fi
  [[ -z $interrupted ]] || return 130
  "${program[@]}"
}

while IFS= read -r -d '' -u 3 word && IFS= read -r -d '' -u 3 first && IFS= read -r -d '' -u 3 second; do
  case $word in
    env) export "$first=$second" ;;
    cell)
      interrupted=
      read -r number _ language _ <<<"$first"
      # What runs must not hold our descriptors.
      run "$language" "$second" 3<&- 4>&-
      printf 'done %s %s\n' "$number" "$?" >&4
      ;;
  esac
done
