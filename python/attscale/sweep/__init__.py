"""Many experiments on a Dask cluster: the plan, one step of it, the cluster."""
