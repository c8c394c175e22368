"""Pictures on request: any base, adapters of any kind, prompts, conditions, pictures to draw over."""
