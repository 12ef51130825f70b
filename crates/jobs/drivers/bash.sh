# Runs cells in one bash, with state that lasts from cell to cell.
#
# Requests come on descriptor 3, events go to descriptor 4. A cell that is interrupted or says `exit`
# would take the shell with it, so then the shell starts anew from what it knew: variables, functions,
# options, folder. Jobs go on, but the new shell can't `wait` for them.

__pinfold_driver=$BASH_EXECUTION_STRING
__pinfold_cell=
# While a cell runs, our descriptors are closed to it and bash keeps them aside: by this they are found.
__pinfold_pipes=("$(readlink /proc/$$/fd/3)" "$(readlink /proc/$$/fd/4)")

__pinfold_regain() {
  local __at __pipe
  for __at in /proc/$$/fd/*; do
    __pipe=$(readlink "$__at")
    # Opened anew: a copy of what bash keeps aside would be closed by the next `exec`, too.
    [[ $__pipe != "${__pinfold_pipes[0]}" ]] || exec 3<"$__at"
    [[ $__pipe != "${__pinfold_pipes[1]}" ]] || exec 4>"$__at"
  done
}

__pinfold_reborn() {
  local __status=$1
  trap - EXIT INT
  set +eux
  __pinfold_regain
  __pinfold_state=$(
    declare -p | grep -v -E '^declare -[a-zA-Z]*r|^declare -[-a-zA-Z]* (BASH[A-Z_]*|__pinfold_[a-z]*|FUNCNAME|GROUPS|DIRSTACK|PIPESTATUS|_)(=|$)' |
      sed -E 's/^declare -([-a-zA-Z]*)/declare -g\1/; s/^declare -g-/declare -g/'
    declare -f
    alias -p
    shopt -p
  )
  exec 9<<<"$__pinfold_state"
  __PINFOLD_DONE="$__pinfold_cell $__status" exec bash --norc --noprofile -c "$__pinfold_driver"
}

trap '__pinfold_reborn $?' EXIT
trap '[[ -z $__pinfold_cell ]] || __pinfold_reborn 130' INT

if [[ -n ${__PINFOLD_DONE:-} ]]; then
  eval "$(cat <&9)" 2>/dev/null
  exec 9<&-
  printf 'done %s\n' "$__PINFOLD_DONE" >&4
  unset __PINFOLD_DONE __pinfold_state
fi

while IFS= read -r -d '' -u 3 __pinfold_word &&
  IFS= read -r -d '' -u 3 __pinfold_first &&
  IFS= read -r -d '' -u 3 __pinfold_second; do
  case $__pinfold_word in
    env) export "$__pinfold_first=$__pinfold_second" ;;
    cell)
      __pinfold_cell=${__pinfold_first%% *}
      # The code's own children must not hold our descriptors.
      eval "$__pinfold_second" 3<&- 4>&-
      __pinfold_status=$?
      printf 'done %s %s\n' "$__pinfold_cell" "$__pinfold_status" >&4
      __pinfold_cell=
      ;;
  esac
done
trap - EXIT
