"""Banks: generated samples on disk, written shard by shard, read memory-mapped, merged, thinned out and exported."""

from torchaug.data.bank.export import export
from torchaug.data.bank.merge import merge
from torchaug.data.bank.reader import Bank
from torchaug.data.bank.review import Review, read_decisions
from torchaug.data.bank.verify import damaged, is_bank
from torchaug.data.bank.writer import BankWriter

__all__ = ["Bank", "BankWriter", "Review", "damaged", "export", "is_bank", "merge", "read_decisions"]
