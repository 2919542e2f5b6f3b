"""From an exhibit to its entries: containers, volumes, file systems, archives. Everything here runs in the sandbox."""
