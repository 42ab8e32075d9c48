"""Transforms of tables (B, F + K), F numbers and then K codes of categories, on whole batches; and SMOTE on the device.

What a transform has to know of the columns it is told in plain numbers, or finds in a training set: `fit(table)`.
"""

from torchaug.tabular.borderline import BorderlineSMOTE
from torchaug.tabular.columns import Table
from torchaug.tabular.dropout import FeatureDropout
from torchaug.tabular.kinds import Rows
from torchaug.tabular.mixup import MixUp
from torchaug.tabular.noise import GaussianNoise, SwapNoise
from torchaug.tabular.smote import SMOTE

__all__ = ["SMOTE", "BorderlineSMOTE", "FeatureDropout", "GaussianNoise", "MixUp", "Rows", "SwapNoise", "Table"]
