"""The archives that people download, made into data sets: a module a set, on `archives` and `ledger`."""
