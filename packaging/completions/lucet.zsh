#compdef @TOOL@
# What --help says, and files.
_arguments '*:file:_files' --
