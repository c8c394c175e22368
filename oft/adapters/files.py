"""Names of the files that saved adapters consist of."""

CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
ROTATION_FILE = ADAPTER_FILE
MAGNITUDE_FILE = "magnitude.safetensors"
HINT_ENCODER_FILE = "hint_encoder.safetensors"
LORA_FILE = "pytorch_lora_weights.safetensors"
DIFFUSERS_CONFIG_FILE = "config.json"
DIFFUSERS_WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
