"""Data sets: one table of specifications, images that are never mutated, and batches that are views of them."""

from utils.data.batches import Batch, Batches, Normaliser
from utils.data.images import FileImages, Images, MemoryImages, fits_on_device
from utils.data.load import Data, load_data, load_once
from utils.data.siamese import FAMILIES, Siamese
from utils.data.specs import DATASETS, DatasetSpec, DataSpec

__all__ = [
    "DATASETS",
    "FAMILIES",
    "Batch",
    "Batches",
    "Data",
    "DataSpec",
    "DatasetSpec",
    "FileImages",
    "Images",
    "MemoryImages",
    "Normaliser",
    "Siamese",
    "fits_on_device",
    "load_data",
    "load_once",
]
