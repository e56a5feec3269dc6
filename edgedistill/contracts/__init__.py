"""The interfaces of all kinds of plug-ins, one file each."""
