"""The options of the network: what it starts from, and what of it to train."""

import functools
from dataclasses import dataclass

from system.command_line import count, option, option_name, or_word, positive_int, probability
from system.errors import InputError
from training.plans.shared import PRETRAINED_HELP, require_room

_network = functools.partial(option, group="network")
POOLINGS = ("mean", "cls", "max", "pooler")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The options of the network."""

    pretrained: str = _network(metavar="FILE", help=f"pre-trained model to start from: {PRETRAINED_HELP}")
    max_seq_len: int | None = _network(
        None,
        type=positive_int,
        metavar="N",
        help="maximum number of tokens that the model reads at once; fewer need less time and memory",
        unset="as many as --pretrained reads",
    )
    prune_vocab: list[str] = _network(
        [],
        nargs="+",
        metavar="SOURCE",
        help="cut the vocabulary of --pretrained to the tokens of these texts and of the training split, which makes "
        "the model smaller; the same kinds of sources as --corpus of pretrain.py. These texts keep their tokens; those "
        "of others may be split into shorter ones or become unknown",
        unset="keep all tokens",
    )
    unfreeze: int | str = _network(
        0,
        type=or_word("all", count, "all"),
        metavar="N",
        help="number of encoders to train besides the head, from the top, or all to train the whole network",
    )
    pooling: str | None = _network(
        None,
        choices=POOLINGS,
        help="what the head reads of a window: mean or maximum of the vectors of its tokens, the vector of [CLS], or "
        "that vector after the pooler of BERT",
        unset="pooler for a BERT checkpoint that has one, otherwise mean",
    )
    dropout_rate: float = _network(type=probability, help="dropout rate, with --unfreeze")
    head_dropout_rate: float = _network(0.0, type=probability, help="dropout rate before the head, with --unfreeze")
    gradient_checkpointing: bool = _network(
        False,
        help="compute the encoders a second time for the gradients instead of keeping their intermediate values, with "
        "--unfreeze; takes a third more time and a fraction of the memory, and needs --dropout-rate 0",
    )

    def check_network(self) -> None:
        """Check that the options of the network do not contradict each other.

        Raises:
            InputError: an option has no effect, or cannot be combined with another one.
        """
        require_room(self.max_seq_len)
        if self.unfreeze == 0:
            for name in ("head_dropout_rate", "gradient_checkpointing"):
                if getattr(self, name):
                    raise InputError(f"{option_name(name)} has no effect on a frozen network: add --unfreeze")
        if self.gradient_checkpointing and self.dropout_rate:
            raise InputError(
                "--gradient-checkpointing needs --dropout-rate 0: with dropout, Keras would compute wrong gradients"
            )
