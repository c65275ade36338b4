pytest_plugins = ["devcluster.testing.plugin"]
