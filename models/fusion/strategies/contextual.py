"""Contextual fusion: recurrence over the windows of a session.

After bc-LSTM (Poria et al., 2017).

Problem: what a window shows depends on the windows before it. Rule: for each modality a recurrent network reads the
summaries of the session's windows in order, and another reads their outputs together. The causal form reads only the
past and also runs window by window, with a state of fixed size; the bidirectional one, as in the paper, is for stored
sessions. Recurrence is by gated units (Cho et al., 2014). Left out: speakers; a session is one stream of windows.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.fusion.strategies.branches import BranchedFusion, BranchOutputs, Heads
from models.fusion.strategies.interface import FusionConfig, FusionOutput, Inputs


class SessionRecurrence(BranchedFusion):
    """What the causal and the bidirectional form share."""

    reads_session: ClassVar[bool] = True
    bidirectional: ClassVar[bool]

    def __init__(self, config: FusionConfig) -> None:
        """Raises ValueError for an odd width of a bidirectional network."""
        super().__init__(config)
        hidden, sides = config.hidden, 2 if self.bidirectional else 1
        if hidden % sides:
            raise ValueError(f"two directions need an even hidden width (is {hidden})")

        def recurrence(width: int) -> nn.GRU:
            return nn.GRU(width, hidden // sides, batch_first=True, bidirectional=self.bidirectional)

        self.each = nn.ModuleDict({name: recurrence(hidden) for name in config.widths})
        self.joint = recurrence(hidden * len(config.widths) + len(config.widths))
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(hidden, config.outputs)

    def forward(self, inputs: Inputs, session: Tensor | None = None) -> FusionOutput:
        """As `FusionStrategy.forward`.

        Raises ValueError where a session's windows are not side by side.
        """
        outputs = self.branched(inputs)
        rows = len(outputs.counted)
        which, place, lengths = _places(torch.arange(rows) if session is None else session)

        def over_sessions(recurrence: nn.Module, vectors: Tensor) -> Tensor:
            padded = vectors.new_zeros(len(lengths), int(lengths.max()), vectors.shape[1])
            padded[which, place] = vectors
            packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
            return pad_packed_sequence(recurrence(packed)[0], batch_first=True)[0][which, place]

        context = {name: over_sessions(self.each[name], outputs.filled[name]) for name in self.modalities}
        fused = over_sessions(self.joint, self._beside(context, outputs))
        return self._answer(fused, context, outputs)

    def _beside(self, context: dict[str, Tensor], outputs: BranchOutputs) -> Tensor:
        beside = torch.cat([*context.values(), outputs.counted.to(outputs.stacked.dtype)], dim=1)
        dropped: Tensor = self.dropout(beside)
        return dropped

    def _answer(self, fused: Tensor, context: dict[str, Tensor], outputs: BranchOutputs) -> FusionOutput:
        return FusionOutput(fused, self.heads(self.dropout(fused)), self.unimodal_logits(context), outputs.summaries)


class BidirectionalContextual(SessionRecurrence):
    """Past and future of the session."""

    bidirectional: ClassVar[bool] = True


class Contextual(SessionRecurrence):
    """The past of the session only."""

    bidirectional: ClassVar[bool] = False

    def step(self, inputs: Inputs, state: Tensor | None = None) -> tuple[FusionOutput, Tensor]:
        """The next window of each of some sessions, one a row.

        state: (sessions, modalities + 1, hidden) as the step before gave it, zeros for a session that begins, None
        where all do. Sessions come and go by adding and dropping rows of it. Returns the same answers as all windows at
        once, and the state after them.
        """
        outputs = self.branched(inputs)
        if state is None:
            state = outputs.stacked.new_zeros(len(outputs.counted), len(self.modalities) + 1, self.config.hidden)

        def advance(recurrence: nn.Module, vectors: Tensor, index: int) -> Tensor:
            read, _ = recurrence(vectors[:, None], state[None, :, index].contiguous())
            after: Tensor = read[:, 0]
            return after

        context = {name: advance(self.each[name], outputs.filled[name], i) for i, name in enumerate(self.modalities)}
        fused = advance(self.joint, self._beside(context, outputs), len(self.modalities))
        return self._answer(fused, context, outputs), torch.stack([*context.values(), fused], dim=1)


def _places(session: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each row's session and place in it, and the sessions' lengths."""
    sessions, which, lengths = torch.unique_consecutive(session.cpu(), return_inverse=True, return_counts=True)
    if len(sessions.unique()) != len(sessions):
        raise ValueError("the windows of a session must lie side by side")
    starts = lengths.cumsum(dim=0) - lengths
    return which, torch.arange(len(which)) - starts[which], lengths
