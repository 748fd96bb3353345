"""From the linear master to a picture: chains of named operations, done on a copy, saved, replayed and undone."""

from skyquilt.engine.finish.chain import Chain, Step, load_chain
from skyquilt.engine.finish.finishing import FinishResult, FinishSettings, finish_image, finish_master, record_path
from skyquilt.engine.finish.master import Master, open_master
from skyquilt.engine.finish.presets import PRESET_TITLES, preset_chain, preset_names
from skyquilt.engine.finish.products import FORMATS
from skyquilt.engine.finish.record import FinishRecord, StepRecord
from skyquilt.engine.finish.registry import OPERATIONS
from skyquilt.engine.finish.schema import SettingDoc, operation_schema, parse_value, setting_docs

__all__ = [
    "FORMATS",
    "OPERATIONS",
    "PRESET_TITLES",
    "Chain",
    "FinishRecord",
    "FinishResult",
    "FinishSettings",
    "Master",
    "SettingDoc",
    "Step",
    "StepRecord",
    "finish_image",
    "finish_master",
    "load_chain",
    "open_master",
    "operation_schema",
    "parse_value",
    "preset_chain",
    "preset_names",
    "record_path",
    "setting_docs",
]
