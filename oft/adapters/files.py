"""Names of the files that saved adapters consist of."""

CONFIG_FILE = "adapter_config.json"
ROTATION_FILE = "adapter_model.safetensors"
MAGNITUDE_FILE = "magnitude.safetensors"
HINT_ENCODER_FILE = "hint_encoder.safetensors"
