"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug import audio as A
from torchaug.transform import Layer

ALONE: dict[str, Layer] = {
    "lossy_codec": A.LossyCodec(6, 24, sample_rate=8000, p=0.8),
    "lossy_codec_short": A.LossyCodec(6, 24, sample_rate=8000, window=256, p=1.0),
    "telephone": A.TelephoneCodec(sample_rate=8000, p=1.0),
    "telephone_of_16_khz": A.TelephoneCodec(sample_rate=16000, p=0.8),
    "packet_loss": A.PacketLoss(0.1, 0.4, sample_rate=8000, p=1.0),
    "packet_loss_repeat": A.PacketLoss(0.3, 0.5, 3.0, 0.01, "repeat", sample_rate=8000, p=0.8),
}
MIXING: dict[str, Layer] = {}
