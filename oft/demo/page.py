"""The page in Gradio: fields, a button, pictures. What they mean is in the other modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from oft.demo.catalogue import BASE_LABEL
from oft.demo.files import Shown, by_seed, write_column
from oft.demo.form import MAX_NUMBER, MAX_PROMPT_CHARS, MAX_SEED, STRENGTH_RANGE, read_form
from oft.demo.shown import NOTHING, SKETCH, SOURCES, UPLOAD, Given, extractions
from oft.errors import UserError

if TYPE_CHECKING:
    from oft.demo.studio import Studio

TITLE = "Adapters side by side"
MAX_UPLOAD_BYTES = 32 << 20
KEPT_SECONDS = 24 * 3600
"""How long files of a draw are kept; when the page ends they are gone."""
MIN_CANVAS_PX = 384
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
"""Gradio's, with the machine's own fonts: its default fetches some from elsewhere."""


@contextmanager
def _faults_as_messages() -> Iterator[None]:
    try:
        yield
    except UserError as fault:
        raise gr.Error(str(fault), duration=30, print_exception=False) from None


def build_page(studio: Studio, scratch: Path) -> gr.Blocks:
    """Return the page of what a studio can draw.

    Args:
        scratch: where pictures are written for browsers to fetch.
    """
    sampling = studio.params.sample
    groups = studio.catalogue.by_task()
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(3600, KEPT_SECONDS), fill_width=True
    ) as page:
        gr.Markdown(_heading(studio))
        with gr.Row():
            with gr.Column(scale=1, min_width=340):
                prompt = gr.Textbox(label="Prompt", lines=2, max_length=MAX_PROMPT_CHARS)
                negative_prompt = gr.Textbox(
                    sampling.negative_prompt, label="Negative prompt", max_length=MAX_PROMPT_CHARS
                )
                with gr.Accordion("Columns"):
                    base_alone = gr.Checkbox(True, label=BASE_LABEL)
                    chosen = [
                        gr.CheckboxGroup(
                            [(_describe(column), column.label) for column in columns],
                            value=[column.label for column in columns if not column.takes_condition],
                            label=task,
                        )
                        for task, columns in groups.items()
                    ]
                low, high = STRENGTH_RANGE
                strength = gr.Slider(
                    low, high, min(max(sampling.strength, low), high), step=0.05, label="Strength of adapters"
                )
                with gr.Row():
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED)
                    number = gr.Slider(1, MAX_NUMBER, 1, step=1, label="Pictures of each column")
                with gr.Row():
                    steps = gr.Slider(
                        1,
                        max(100, sampling.num_inference_steps),
                        sampling.num_inference_steps,
                        step=1,
                        label="Steps",
                    )
                    guidance = gr.Slider(1, 30, sampling.guidance_scale, step=0.1, label="Guidance")
                source = gr.Radio(SOURCES, value=NOTHING, label="Condition")
                sketch = gr.ImageEditor(
                    _blank(studio.resolution_px),
                    label="Sketch: light on black, as edges and outlines are",
                    type="numpy",
                    image_mode="RGB",
                    format="png",
                    sources=(),
                    transforms=(),
                    layers=False,
                    fixed_canvas=True,
                    canvas_size=_canvas_size(studio.resolution_px),
                    brush=gr.Brush(default_size=6, default_color="#ffffff"),
                    visible=False,
                )
                with gr.Group(visible=False) as uploaded:
                    upload = gr.File(label="Picture", type="filepath")
                    extraction = gr.Dropdown(extractions(), label="Extract from it")
                    preview_button = gr.Button("Show the conditioning image")
                draw_button = gr.Button("Draw", variant="primary")
                stop_button = gr.Button("Stop")
            with gr.Column(scale=2, min_width=400):
                gallery = gr.Gallery(
                    label="Pictures: a row of each seed",
                    columns=1 + len(studio.catalogue.adapters),
                    object_fit="contain",
                    format="png",
                    buttons=["download", "download_all", "fullscreen"],
                    interactive=False,
                )
                settings = gr.Textbox(label="Settings of the picture", lines=4, interactive=False)
                files = gr.Files(label="PNG files with their settings", interactive=False)
                conditions = gr.Gallery(
                    label="Conditioning images",
                    columns=4,
                    height=260,
                    object_fit="contain",
                    format="png",
                    buttons=["download", "fullscreen"],
                    interactive=False,
                )
        texts = gr.State([])

        def given(source: Any, sketch: Any, upload: Any, extraction: Any) -> Given:
            canvas = (sketch or {}).get("composite")
            return Given(source, canvas, Path(upload) if upload else None, extraction)

        def draw(
            prompt: Any,
            negative_prompt: Any,
            base_alone: Any,
            strength: Any,
            seed: Any,
            number: Any,
            steps: Any,
            guidance: Any,
            source: Any,
            sketch: Any,
            upload: Any,
            extraction: Any,
            *chosen: Sequence[str],
            progress: Any = gr.Progress(),  # noqa: B008, how Gradio asks for it
        ) -> Iterator[tuple[Any, ...]]:
            with _faults_as_messages():
                labels = [
                    *([BASE_LABEL] if base_alone else []),
                    *(label for each in chosen for label in each),
                ]
                form = read_form(
                    studio.params,
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    labels=labels,
                    strength=strength,
                    seed=seed,
                    number=number,
                    steps=steps,
                    guidance=guidance,
                )
                columns: list[list[Shown]] = []
                shown_to: dict[Path, str] = {}
                progress((0, len(labels)), desc="columns", unit="columns")
                for drawn in studio.draw(form, given(source, sketch, upload, extraction)):
                    pictures, condition = write_column(drawn, scratch)
                    columns.append(pictures)
                    if condition is not None:
                        shown_to[condition] = drawn.column.label
                    progress((len(columns), len(labels)), desc=drawn.column.label, unit="columns")
                    rows = by_seed(columns)
                    yield (
                        gr.Gallery([(str(one.file), one.caption) for one in rows], columns=len(columns)),
                        [str(one.file) for one in rows] + [str(file) for file in shown_to],
                        [(str(file), label) for file, label in shown_to.items()],
                        rows[0].settings,
                        [one.settings for one in rows],
                    )

        def preview(
            source: Any, sketch: Any, upload: Any, extraction: Any, *chosen: Sequence[str]
        ) -> list[tuple[Any, str]]:
            with _faults_as_messages():
                columns = studio.catalogue.choose([label for each in chosen for label in each])
                made = studio.conditions(columns, given(source, sketch, upload, extraction))
                return [(image, label) for label, image in made.items()]

        def choose_source(source: Any) -> tuple[Any, Any]:
            return gr.update(visible=source == SKETCH), gr.update(visible=source == UPLOAD)

        def show_settings(texts: list[str], event: gr.SelectData) -> str:
            place = event.index
            return texts[place] if isinstance(place, int) and 0 <= place < len(texts) else ""

        condition_fields = [source, sketch, upload, extraction]
        source.change(choose_source, source, [sketch, uploaded], api_visibility="private", queue=False)
        preview_button.click(
            preview,
            [*condition_fields, *chosen],
            conditions,
            api_name="condition",
            concurrency_limit=1,
            concurrency_id="studio",
        )
        drawing = draw_button.click(
            draw,
            [
                *(prompt, negative_prompt, base_alone, strength, seed, number, steps, guidance),
                *condition_fields,
                *chosen,
            ],
            [gallery, files, conditions, settings, texts],
            api_name="draw",
            show_progress_on=gallery,
            concurrency_limit=1,
            concurrency_id="studio",
        )
        stop_button.click(None, cancels=[drawing], queue=False, api_visibility="private")
        gallery.select(show_settings, texts, settings, api_visibility="private")
    return page.queue(max_size=16)


def start_page(page: gr.Blocks, port: int | None) -> str:
    """Serve a page on this machine alone and return its address.

    Args:
        port: None for the first that is free from 7860 on.

    Raises:
        UserError: it is not to be had.
    """
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            allowed_paths=[],
            max_file_size=MAX_UPLOAD_BYTES,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            theme=THEME,
        )
    except OSError as fault:
        raise UserError(
            f"--port {'' if port is None else port}: no such port of 127.0.0.1 is free; choose another, or 0 "
            "for any that is"
        ) from fault
    return address


def _heading(studio: Studio) -> str:
    lines = [
        f"## {TITLE}",
        f"Base {studio.base.origin or 'without a name'}, {studio.resolution_px} × {studio.resolution_px} "
        "pixels. Every column has the same seeds; an adapter is put on for its column alone.",
    ]
    return "\n\n".join([*lines, *(f"Left out: {line}" for line in studio.catalogue.damaged)])


def _describe(column: Any) -> str:
    """Return what a checkbox says of an adapter."""
    name = column.label.rpartition(" / ")[2]
    if not column.takes_condition:
        return name
    return f"{name} (takes {column.condition or 'a conditioning image'})"


def _canvas_size(resolution_px: int) -> tuple[int, int]:
    """Return the size of the canvas: that of the pictures, or a multiple that a person can draw on."""
    side = resolution_px * -(-MIN_CANVAS_PX // resolution_px)
    return side, side


def _blank(resolution_px: int) -> dict[str, Any]:
    black = np.zeros((*_canvas_size(resolution_px), 3), np.uint8)
    return {"background": black, "layers": [], "composite": black}
