# Completion for kubesolo-boot in fish, made of its own help.
function __kubesolo_boot_after
    set -l words
    set -l flag
    for word in (commandline -poc)[2..]
        if set -q flag[1]
            set -e flag
            continue
        end
        switch $word
@flags with a value@
                set flag $word
            case '-*'
            case '*'
                set -a words $word
        end
    end
    contains -- "$words" $argv
end
complete -c kubesolo-boot -f
@flags@
@flags of a verb@
@verbs@
@places@
