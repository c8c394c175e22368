"""How the metrics of a run were taken: what stands beside them in ``metrics.json``."""

from __future__ import annotations

from oft.evaluation.metric import Metric

METRICS = (
    Metric("adapter", "Adapter", group="protocol"),
    Metric("base", "Base", "The checkpoint everything starts from.", group="protocol"),
    Metric("num_prompts", "Prompts", group="protocol"),
    Metric("num_images", "Generated pictures", group="protocol"),
    Metric("num_real_images", "Real pictures", group="protocol"),
    Metric("num_train_val_images", "Real training pictures compared with them", group="protocol"),
    Metric("num_val_images", "Pictures the validation loss is over", group="protocol"),
    Metric(
        "num_captions_cut",
        "Captions that are cut",
        "Different captions of the task that have more tokens than the text encoder takes.",
        group="protocol",
    ),
    Metric("resolution_px", "Picture size, pixels", group="protocol"),
    Metric("scheduler", "Sampler", "The algorithm that removes the noise step by step.", group="protocol"),
    Metric("num_inference_steps", "Denoising steps", group="protocol"),
    Metric(
        "guidance_scale",
        "Guidance",
        "How strongly the prompt is pushed (classifier-free guidance); 1 is not at all.",
        group="protocol",
    ),
    Metric("seed", "Seed", group="protocol"),
    Metric("judges", "Judges", "The networks that look at the pictures.", group="protocol"),
    Metric(
        "missing_judges",
        "Judges that are missing",
        "Networks that have no folder in evaluate.judges: what they would judge is not measured.",
        group="protocol",
    ),
    Metric(
        "controlnetpp_judge",
        "Judge of ControlNet++'s protocol",
        "The network that looks at the pictures for the figures under ControlNet++'s name.",
        group="protocol",
    ),
)
