# Completion for kubesolo-boot in fish, made of its own tables.
function __kubesolo_boot_words
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
    string join \n -- $words
end
function __kubesolo_boot_after
    set -l words (__kubesolo_boot_words)
    contains -- "$words" $argv
end
function __kubesolo_boot_takes
    set -l words (__kubesolo_boot_words)
    not set -q words[1]; or contains -- $words[1] $argv
end
complete -c kubesolo-boot -f
@flags@
@verbs@
@places@
