#compdef kubesolo-boot
# Completion for kubesolo-boot in zsh, made of its own tables.
local curcontext=$curcontext state
local -A opt_args
local -a line flags verbs=(
@verbs@
)
@verb@
@flags@
_arguments -C $flags '*: :->words' && return
[[ $state = words ]] || return 1
case ${(j: :)line[1,-2]} in
    '' | help) _describe -t verbs verb verbs ;;
@places@
    *) return 1 ;;
esac
