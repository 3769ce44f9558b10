# Completion of lucetc and the other tools in bash. Options and commands are what --help says.

_lucet() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} tool=${COMP_WORDS[0]}
    local help words=""
    # `--option=value` is three words to bash.
    if [ "$cur" = "=" ]; then
        cur=""
    elif [ "$prev" = "=" ]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $prev in
    --emit) words="so obj clif asm" ;;
    --memory) words="guarded compact" ;;
    --target-cpu) words="x86-64-v2 x86-64-v3 native" ;;
    -O | --opt-level) words="0 1 2 s none speed size" ;;
    --print) words="limits policy-schema" ;;
    --message-format) words="text json" ;;
    --limit)
        words=$("$tool" --print limits 2>/dev/null | awk 'NR > 1 && NF == 0 { exit }
            NR > 1 { print $1 "=" }')
        compopt -o nospace 2>/dev/null
        ;;
    --label | -j | --jobs) return ;;
    *)
        if [[ $cur == -* ]]; then
            help=$("$tool" "${COMP_WORDS[1]}" --help 2>/dev/null </dev/null) ||
                help=$("$tool" --help 2>/dev/null)
            words=$(grep -oE -- '(^|[ ,])--?[A-Za-z][a-z-]*' <<<"$help" | tr -d ' ,' | sort -u)
        elif [ "$COMP_CWORD" -eq 1 ]; then
            words=$("$tool" --help 2>/dev/null |
                awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    # No word of ours: a file.
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default 2>/dev/null
    return 0
}
complete -F _lucet lucetc lucet-wasi lucetc-wasi lucet-http
