"""Eight host devices for sharding tests, and shapes checked at every call of array code."""

import jax
import jaxtyping

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)

# Array code only: annotations there are shapes, and tests run it on tiny arrays.
jaxtyping.install_import_hook(
    ["usergpt_jax.models", "usergpt_jax.rl", "usergpt_jax.sft", "usergpt_jax.simulate"], "beartype.beartype"
)
