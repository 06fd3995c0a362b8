"""One CLIP text encoder, read as it is in the field: emphasis, embeddings, and as many windows of
75 tokens as the prompt takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from fallback_renderer import prompting

# A window ends after one of this many last tokens if it is a comma, rather than inside a thought.
_LOOK_BACK = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token, how much it weighs, and the vector that stands for it if it is an embedding's."""

    id: int
    weight: float
    vector: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """A tokenizer with its network, and the embeddings' vectors for it by their names.

    `penultimate` is for networks of which the last layer is not used (SDXL's).
    """

    tokenizer: Any
    network: Any
    vectors: Mapping[str, Any]
    penultimate: bool = False

    @property
    def most_skipped(self) -> int:
        """How many of its last layers can be left out."""
        return int(self.network.config.num_hidden_layers) - 1 - self.penultimate

    def fits(self, text: str) -> bool:
        """Whether the plain text is one window."""
        return len(self.tokenizer(text).input_ids) <= self._window + 2

    def windows(self, prompt: str) -> int:
        """How many windows the prompt takes."""
        return len(list(self._split(self._tokens(prompt))))

    def encode(self, prompt: str, *, skipped: int, windows: int) -> tuple[Any, Any]:
        """Hidden states (1, 77 · windows, width), and the pooled one of the first window.

        The latter is None where the network has no projection. A weight takes a token's state that
        many times as far from what the empty prompt has in its place.
        """
        states, pools = [], []
        for tokens in self._split(self._tokens(prompt)):
            state, pool = self._run(tokens, skipped)
            if any(token.weight != 1.0 for token in tokens):
                state = _weighed(state, self._run([], skipped)[0], tokens)
            states.append(state)
            pools.append(pool)
        if len(states) < windows:
            states += [self._run([], skipped)[0]] * (windows - len(states))
        return torch.cat(states, dim=1), pools[0]

    @property
    def _window(self) -> int:
        return int(self.network.config.max_position_embeddings) - 2

    def _tokens(self, prompt: str) -> list[Token]:
        return [token for chunk in prompting.parse(prompt) for token in self._read(chunk)]

    def _read(self, chunk: prompting.Chunk) -> Iterator[Token]:
        for piece in prompting.split_names(chunk.text, self.vectors):
            if piece in self.vectors:
                for vector in self.vectors[piece]:
                    yield Token(id=0, weight=chunk.weight, vector=vector)
            else:
                for id_ in self.tokenizer(piece, add_special_tokens=False).input_ids:
                    yield Token(id=id_, weight=chunk.weight)

    def _split(self, tokens: list[Token]) -> Iterator[list[Token]]:
        comma = self.tokenizer(",", add_special_tokens=False).input_ids[-1]
        while len(tokens) > self._window:
            ends = range(self._window, self._window - _LOOK_BACK, -1)
            end = next((end for end in ends if tokens[end - 1].id == comma), self._window)
            yield tokens[:end]
            tokens = tokens[end:]
        yield tokens

    def _run(self, tokens: list[Token], skipped: int) -> tuple[Any, Any]:
        words = self.tokenizer
        ids = [words.bos_token_id, *(token.id for token in tokens), words.eos_token_id]
        ids += [words.pad_token_id] * (self._window + 2 - len(ids))
        with self._embedded(tokens):
            output = self.network(
                torch.tensor([ids], device=self.network.device), output_hidden_states=True
            )
        return self._state(output, skipped), getattr(output, "text_embeds", None)

    def _state(self, output: Any, skipped: int) -> Any:
        if self.penultimate:
            return output.hidden_states[-(skipped + 2)]
        if not skipped:
            return output.last_hidden_state
        network = getattr(self.network, "text_model", self.network)
        return network.final_layer_norm(output.hidden_states[-(skipped + 1)])

    @contextmanager
    def _embedded(self, tokens: list[Token]) -> Iterator[None]:
        """Puts the embeddings' vectors in their places.

        They get no tokens of their own, for the network takes the token of the highest number to
        be the last, as the configuration of every published checkpoint has it.
        """
        vectors = {place: token.vector for place, token in enumerate(tokens, start=1)}

        def put(_module: Any, _given: Any, output: Any) -> None:
            for place, vector in vectors.items():
                if vector is not None:
                    output[0, place] = vector.to(output)

        handle = self.network.get_input_embeddings().register_forward_hook(put)
        try:
            yield
        finally:
            handle.remove()


def _weighed(state: Any, empty: Any, tokens: list[Token]) -> Any:
    weights = torch.ones(state.shape[1], device=state.device)
    for place, token in enumerate(tokens, start=1):
        weights[place] = token.weight
    away = (weights - 1)[None, :, None] * (state.float() - empty.float())
    return (state.float() + away).to(state.dtype)
