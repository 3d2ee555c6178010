#compdef kubesolo-boot
# Completion for kubesolo-boot in zsh, made of its own help.
local curcontext=$curcontext state
local -A opt_args
local -a line own verbs=(
@verbs@
)
@flags of a verb@
_arguments -C \
@flags@
    $own '*: :->words' && return
[[ $state = words ]] || return 1
case ${(j: :)line[1,-2]} in
    '' | help) _describe -t verbs verb verbs ;;
@places@
    *) return 1 ;;
esac
