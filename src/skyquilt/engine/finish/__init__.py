"""From the linear master to a picture: chains of named operations, done on a copy, saved, replayed and undone."""

from skyquilt.engine.finish.chain import Chain, Step, load_chain, read_step
from skyquilt.engine.finish.combine import (
    Combined,
    combine_lrgb_masters,
    combine_palette_masters,
    separate_bands,
    subtract_continuum_masters,
)
from skyquilt.engine.finish.dwarf3_chains import color_chain, find_colour_master, process_chain
from skyquilt.engine.finish.finishing import (
    FinishResult,
    FinishSettings,
    finish_image,
    finish_master,
    finish_pixels,
    record_path,
)
from skyquilt.engine.finish.form import mask_form, operation_form
from skyquilt.engine.finish.given import (
    colourmap_names,
    continuum_settings,
    duoband_settings,
    lrgb_settings,
    palette_settings,
)
from skyquilt.engine.finish.master import Master, open_master
from skyquilt.engine.finish.presets import PRESET_TITLES, preset_chain, preset_names
from skyquilt.engine.finish.products import FORMATS
from skyquilt.engine.finish.record import FinishRecord, StepRecord
from skyquilt.engine.finish.reduced import FinishPreview, ReducedMaster, preview_chain, reduce_master
from skyquilt.engine.finish.registry import OPERATIONS
from skyquilt.engine.finish.schema import SettingDoc, mask_docs, operation_schema, parse_value, setting_docs

__all__ = [
    "FORMATS",
    "OPERATIONS",
    "PRESET_TITLES",
    "Chain",
    "Combined",
    "FinishPreview",
    "FinishRecord",
    "FinishResult",
    "FinishSettings",
    "Master",
    "ReducedMaster",
    "SettingDoc",
    "Step",
    "StepRecord",
    "color_chain",
    "colourmap_names",
    "combine_lrgb_masters",
    "combine_palette_masters",
    "continuum_settings",
    "duoband_settings",
    "find_colour_master",
    "finish_image",
    "finish_master",
    "finish_pixels",
    "load_chain",
    "lrgb_settings",
    "mask_docs",
    "mask_form",
    "open_master",
    "operation_form",
    "operation_schema",
    "palette_settings",
    "parse_value",
    "preset_chain",
    "preset_names",
    "preview_chain",
    "process_chain",
    "read_step",
    "record_path",
    "reduce_master",
    "separate_bands",
    "setting_docs",
    "subtract_continuum_masters",
]
