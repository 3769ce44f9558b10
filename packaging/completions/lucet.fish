# What --help says: long options with their values, and commands.
function __lucet_options --argument-names tool
    command $tool --help | string match -rga -- '(?:^|[ ,])(--[a-z-]+)' | sort -u
end
complete -c @TOOL@ -n 'string match -q -- "-*" (commandline -ct)' -f -a '(__lucet_options @TOOL@)'
