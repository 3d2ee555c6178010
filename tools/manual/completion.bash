# Completion for kubesolo-boot in bash, made of its own tables.
_kubesolo_boot() {
    local current=${COMP_WORDS[COMP_CWORD]} word flag= words= choices= kind=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        # bash takes --flag=VALUE for three words.
        [[ $word != = ]] || continue
        if [[ $flag ]]; then
            flag=
            continue
        fi
        case $word in
@flags with a value@
            -*) ;;
            *) words+="${words:+ }$word" ;;
        esac
    done
    [[ $current != = ]] || current=
    if [[ $flag ]]; then
        case $flag in
@values@
        esac
    elif [[ $current = -* ]]; then
        case ${words%% *} in
@flags of a verb@
        esac
    else
        case $words in
@places@
        esac
    fi
    if [[ $kind ]]; then
        mapfile -t COMPREPLY < <(compgen -A "$kind" -- "$current")
        compopt -o filenames 2>/dev/null
    else
        mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
    fi
}
complete -F _kubesolo_boot kubesolo-boot
