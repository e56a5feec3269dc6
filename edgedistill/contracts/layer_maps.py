"""Which student layer is matched with which teacher layer."""

from __future__ import annotations

from typing import Literal

LayerMap = Literal["uniform", "last"] | tuple[tuple[int, int], ...]


def layer_pairs(layers: LayerMap, student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs, counted as `transformers` counts hidden states: 0 is the embeddings.

    `uniform` maps student layer i to teacher layer round(i * M / N) (TinyBERT, Jiao et al. 2020, section 3.1),
    embeddings to embeddings.

    Raises:
        ValueError: a listed layer that does not exist.

    >>> layer_pairs("uniform", 2, 6)
    [(0, 0), (1, 3), (2, 6)]
    >>> layer_pairs("last", 2, 6)
    [(2, 6)]
    """
    if layers == "uniform":
        return [(i, round(i * teacher_layers / student_layers)) for i in range(student_layers + 1)]
    if layers == "last":
        return [(student_layers, teacher_layers)]
    for student, teacher in layers:
        if not (0 <= student <= student_layers and 0 <= teacher <= teacher_layers):
            raise ValueError(
                f"layer pair [{student}, {teacher}] is outside the student's 0..{student_layers} "
                f"and the teacher's 0..{teacher_layers}"
            )
    return list(layers)
