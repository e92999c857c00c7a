"""`cellar-hub backup` and `restore`: one file with everything a site is made of, and back.

Design note. hub_config/compose/backup.sh begins both on the machine with the stack. What reads and writes volumes runs
there in a container of its own for each step: of the hub's image, without a network, with no more of root than files
want, the backup on its standard input or output. So nothing of it needs Python, a service or a port on the machine,
and a backup may go wherever a shell can write.
"""
