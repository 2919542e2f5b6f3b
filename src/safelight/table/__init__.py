"""The review table on disk: columns of all contents and places of a case, made once from facts and mapped by the server."""
