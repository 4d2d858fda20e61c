"""usergpt_jax: from raw behaviour logs to personas, in JAX (the UserGPT paper, arXiv 2605.08766)."""

__version__ = "0.1.0"
