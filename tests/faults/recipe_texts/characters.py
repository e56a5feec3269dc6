"""Bytes, lines and documents."""

from __future__ import annotations

import random

from .tree import Input, Tree, alone, text_of, with_raw


def encoding(tree: Tree, rng: random.Random) -> Input:
    text = "# é\n" + text_of(tree)
    how = rng.choice(["latin-1", "utf-16", "utf-32", "utf-8-sig", "cp1252", "cp037"])
    return alone(text.encode(how), "either" if how in ("utf-8-sig",) else "refused")


def bytes_flipped(tree: Tree, rng: random.Random) -> Input:
    content = bytearray(text_of(tree).encode())
    for _ in range(rng.choice([1, 1, 2, 5])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return alone(bytes(content))


def cut_short(tree: Tree, rng: random.Random) -> Input:
    content = text_of(tree).encode()
    return alone(content[: rng.randrange(len(content))])


def characters_put_in(tree: Tree, rng: random.Random) -> Input:
    content = text_of(tree)
    for _ in range(rng.choice([1, 2])):
        place = rng.randrange(len(content))
        odd = rng.choice(
            [
                "\t",
                "\x00",
                "\x07",
                "\u2028",
                "\x85",
                "\ufeff",
                "\r",
                "'",
                '"',
                "{",
                "}",
                "&",
                "*",
                "!",
                "%",
                "|",
                ">",
                "#",
                ":",
                "- ",
                "? ",
            ]
        )
        content = content[:place] + odd + content[place:]
    return alone(content)


def indentation(tree: Tree, rng: random.Random) -> Input:
    lines = text_of(tree).splitlines()
    number = rng.randrange(len(lines))
    lines[number] = rng.choice(["", " ", "  ", "\t", "    "]) + lines[number].lstrip(" ")
    return alone("\n".join(lines))


def line_dropped(tree: Tree, rng: random.Random) -> Input:
    lines = text_of(tree).splitlines()
    del lines[rng.randrange(len(lines))]
    return alone("\n".join(lines))


def not_a_recipe(tree: Tree, rng: random.Random) -> Input:
    texts = [
        "",
        "\n\n",
        "# only\n",
        "[]",
        "- a\n- b\n",
        "text",
        "3",
        "null",
        "---\n...\n",
        "{}",
        "schema: edgedistill/1\n",
        "\x00",
        "PK\x03\x04",
        "%PDF-1.4",
    ]
    return alone(rng.choice(texts), "refused")


def several_documents(tree: Tree, rng: random.Random) -> Input:
    return alone(text_of(tree) + "---\nseed: 9\n", "refused")


def schema_other(tree: Tree, rng: random.Random) -> Input:
    return alone(
        with_raw(
            tree, ("schema",), rng.choice(["edgedistill/2", "1", "null", "[]", "edgedistill", "' edgedistill/1'"])
        ),
        "refused",
    )
