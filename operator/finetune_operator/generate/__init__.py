"""Everything that is generated from the code: the CRD with its policy, the chart's version, and docs/reference."""
