"""The plugins and the environment of the whole suite."""

import os
from importlib.util import find_spec

# As `storage.remote` sets it before gcsfs is imported, which some test does earlier.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

# The environment of the Keras tests has no dev cluster.
pytest_plugins = ["devcluster.testing.plugin"] if find_spec("devcluster") else []
