"""Judges (transformers models that look at pictures) and the features they extract.

Extraction draws nothing at random and treats every picture alone: batch size changes results by rounding
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from oft.conditions.depth import INVERSE_DEPTH
from oft.datasets.landmarks import NUM_LANDMARKS
from oft.errors import CheckpointError, DataError
from oft.evaluation.checks import check_pictures
from oft.evaluation.preprocessing import Preprocessing, prepare_batches, read_preprocessing
from oft.models.hub import find_folder
from oft.models.loading import load_network, load_part, load_tokenizer
from oft.models.pretrained import MODEL_FILES

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

REMEDY = "give a folder in transformers' layout with a whole model.safetensors, or a hub id with its commit"
LEGACY_CLIP_EOS_ID = 2
"""CLIP configs of before 2023 hold this wrong id; transformers pools at a prompt's largest id then."""


@dataclass(frozen=True)
class Judge:
    """A pretrained model in evaluation mode and how pictures (and prompts) are prepared for it.

    Attributes:
        model: a transformers model, float32, without gradients.
        preprocessing: what it wants of its pictures.
        tokenizer: its CLIPTokenizer, None for judges that read no text.
    """

    model: Any
    preprocessing: Preprocessing
    tokenizer: Any = None


def load_segmenter(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Return a SegFormer for ``extract_label_maps`` from a folder in transformers' layout or a hub id.

    Raises:
        CheckpointError: it is missing, damaged or of another architecture.
    """
    from transformers import SegformerForSemanticSegmentation

    return _load_judge(SegformerForSemanticSegmentation, folder, device, wanted="segformer")


def load_mask2former(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Return a Mask2Former for `oft.evaluation.controlnetpp.segmentation` from a folder or a hub id.

    Raises:
        CheckpointError: it is missing, damaged or of another architecture.
    """
    from transformers import Mask2FormerForUniversalSegmentation

    return _load_judge(Mask2FormerForUniversalSegmentation, folder, device, wanted="mask2former")


def load_landmark_judge(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Return a SegFormer for `oft.evaluation.landmarks.extract_landmarks` from a folder or a hub id.

    It has 69 maps in place of classes: one of where each of iBUG's 68 points is (logits), and the last, whose
    mean is the logit that the picture shows a face.

    Raises:
        CheckpointError: it is missing, damaged or of another architecture, or has other maps.
    """
    judge = load_segmenter(folder, device)
    if judge.model.config.num_labels != NUM_LANDMARKS + 1:
        raise CheckpointError(
            f"{folder}: it has {judge.model.config.num_labels} maps, a judge of landmarks has "
            f"{NUM_LANDMARKS + 1}, one for each point and one for whether there is a face; point at the "
            "right checkpoint"
        )
    return judge


def load_depth_judge(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Return a network of inverse depth from a folder or a hub id: DPT, Depth Anything, SegFormer of one map.

    ControlNet++'s protocol has Intel/dpt-large, read by `oft.evaluation.controlnetpp.depth`.

    Raises:
        CheckpointError: it is missing, damaged or of another architecture, or a SegFormer of several maps.
    """
    from transformers import AutoModelForDepthEstimation

    found = _read_model_type(_find_source(folder))
    if found == "segformer":
        judge = load_segmenter(folder, device)
        if judge.model.config.num_labels != 1:
            raise CheckpointError(
                f"{folder}: it has {judge.model.config.num_labels} maps, a SegFormer that judges depth has "
                "one; point at the right checkpoint"
            )
        return judge
    if found not in INVERSE_DEPTH:
        raise CheckpointError(
            f"{folder}: config.json describes a {found} model; a judge of depth is "
            f"{', '.join(INVERSE_DEPTH)} or segformer, which predict how near things are; point at the right "
            "checkpoint"
        )
    return _load_judge(AutoModelForDepthEstimation, folder, device)


def load_extractor(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Return a picture encoder (ResNetModel, ViT of DINO, ...) from a folder or a hub id.

    Raises:
        CheckpointError: it is missing, damaged or of another architecture.
    """
    from transformers import AutoModel

    # DINO's ViT was published without the pooling layer that transformers would add, at random: CLS counts.
    found = _read_model_type(_find_source(folder))
    options: dict[str, Any] = {"add_pooling_layer": False} if found == "vit" else {}
    return _load_judge(AutoModel, folder, device, without_head=True, **options)


def load_clip(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Return a CLIP model with its tokenizer from a folder or a hub id.

    Raises:
        CheckpointError: it is missing, damaged or of another architecture, or the tokenizer belongs to
            another model.
    """
    from transformers import CLIPModel, CLIPTokenizer

    judge = _load_judge(CLIPModel, folder, device, wanted="clip")
    tokenizer = load_tokenizer(CLIPTokenizer, _find_source(folder), "save the tokenizer beside the model")
    text_config = judge.model.config.text_config
    if len(tokenizer) > text_config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the text model {text_config.vocab_size}; "
            "restore the tokenizer that was saved with the model"
        )
    legacy = text_config.eos_token_id == LEGACY_CLIP_EOS_ID
    pooled_id = len(tokenizer) - 1 if legacy else text_config.eos_token_id
    if pooled_id != tokenizer.eos_token_id:
        # Without this id in a prompt transformers would pool at its first token, and all prompts be alike.
        raise CheckpointError(
            f"{folder}: with text_config.eos_token_id {text_config.eos_token_id} the text is read at token "
            f"{pooled_id}, the tokenizer ends prompts with {tokenizer.eos_token_id}; they must be equal: "
            "restore config.json or the tokenizer"
        )
    preprocessing = judge.preprocessing
    if preprocessing.resize_px is None and preprocessing.crop_px is None:
        edge = int(judge.model.config.vision_config.image_size)  # CLIP takes no other size
        judge = replace(judge, preprocessing=replace(preprocessing, resize_px=(edge, edge)))
    return replace(judge, tokenizer=tokenizer)


def extract_features(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int, *, unit: bool = False
) -> Float32[np.ndarray, "n d"]:
    """Return each picture's features: ``pooler_output`` flattened, or the CLS token of a model without one.

    ``unit`` scales each row to length 1.

    Raises:
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    check_pictures(pictures)
    rows = []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device):
            output = judge.model(pixel_values=batch)
            pooled = getattr(output, "pooler_output", None)
            if pooled is None:
                pooled = output.last_hidden_state[:, 0]
            features = pooled.flatten(1)
            rows.append(torch.nn.functional.normalize(features, dim=1) if unit else features)
    return _join(rows)


def extract_pyramid(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int
) -> list[Float32[np.ndarray, "n _ _ _"]]:
    """Return the feature maps of every level (``hidden_states``), one array [N, C, height, width] per level.

    Raises:
        CheckpointError: the judge is no convolutional network: its hidden states are no maps.
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    check_pictures(pictures)
    levels: list[list[torch.Tensor]] = []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device):
            hidden_states = judge.model(pixel_values=batch, output_hidden_states=True).hidden_states
            if any(state.ndim != 4 for state in hidden_states):
                raise CheckpointError(
                    f"a feature pyramid needs a convolutional extractor; {type(judge.model).__name__} gives "
                    f"{list(hidden_states[0].shape)}; use a ResNetModel"
                )
            levels = levels or [[] for _ in hidden_states]
            for level, state in zip(levels, hidden_states, strict=True):
                level.append(state.cpu())
    return [_join(level) for level in levels]


def extract_clip_images(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int
) -> Float32[np.ndarray, "n d"]:
    """Return CLIP's picture embeddings, projected, not scaled to length 1.

    Raises:
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    check_pictures(pictures)
    with torch.inference_mode():
        return _join(
            judge.model.get_image_features(pixel_values=batch).pooler_output
            for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device)
        )


def extract_clip_texts(texts: Sequence[str], judge: Judge, batch_size: int) -> Float32[np.ndarray, "n d"]:
    """Return CLIP's prompt embeddings, projected, not scaled to length 1.

    Prompts are padded, and cut, to the model's own length: a batch's longest prompt changes nothing.

    Raises:
        DataError: there is no prompt.
    """
    assert judge.tokenizer is not None, "load the judge with load_clip"
    assert batch_size > 0, batch_size
    if not texts:
        raise DataError("no prompt to embed; give at least one")
    rows = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            tokens = judge.tokenizer(
                list(texts[start : start + batch_size]),
                padding="max_length",
                truncation=True,
                max_length=judge.model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            ).to(judge.model.device)
            rows.append(
                judge.model.get_text_features(
                    input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
                ).pooler_output
            )
    return _join(rows)


def _join(rows: Iterable[torch.Tensor]) -> np.ndarray:
    return np.concatenate([row.float().cpu().numpy() for row in rows])


def _find_source(folder: str | Path) -> Path:
    """The folder, or that of the files of a hub id with its commit.

    Raises:
        CheckpointError: no such folder, and no hub id by its form; or the hub is out of reach.
    """
    return find_folder(folder, MODEL_FILES, "judge")


def _read_model_type(source: Path) -> str:
    """The architecture that config.json names, in transformers' terms.

    Raises:
        CheckpointError: no readable config.json, or an architecture transformers does not know.
    """
    from transformers import AutoConfig

    return str(load_part(AutoConfig, source, REMEDY).model_type)


def _load_judge(
    model_class: Any,
    folder: str | Path,
    device: str | torch.device,
    *,
    wanted: str | None = None,
    **options: Any,
) -> Judge:
    """The model with all its weights, in float32 whatever they are stored in, and its preprocessing.

    ``wanted`` is the one architecture that will do, in transformers' terms; None: any.
    """
    source = _find_source(folder)
    model_type = _read_model_type(source)
    if wanted is not None and model_type != wanted:
        raise CheckpointError(
            f"{folder}: config.json describes a {model_type} model, a {wanted} model is needed; "
            "point at the right checkpoint"
        )
    model = load_network(model_class, source, REMEDY, **options).to(device)
    return Judge(model=model, preprocessing=read_preprocessing(source))
