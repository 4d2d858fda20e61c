"""Refinement by pointing: every word of title and category carries a number, and an answer is a row of numbers.

    title      hot sale  urban 2  thread 3  wool 4  coat 5  trench 6      (each word: its pieces, then its number)
    category   coats 30
    answer     4 5 | 2 3 ; 6                                               wool coat | urban thread ; trench

So a small model need not spell a name it never saw, cannot invent one, and answers in a token a word.
"""

from collections.abc import Sequence

from usergpt_jax.corpus.tokenizer import ANSWER, IM_START
from usergpt_jax.corpus.word_pieces import N_NUMBERS, WordPieces
from usergpt_jax.tasks.refinement import Refined, leaf, surface_words

MAX_TITLE_WORDS = 32  # numbered from 0; the words of a category follow
_MAX_CATEGORY_WORDS = N_NUMBERS - MAX_TITLE_WORDS


def numbered_title(title: str) -> list[str]:
    """The words of a title, lower case; marks carry no number (see `_is_word`) but count."""
    return [word.lower() for word in surface_words(title)][:MAX_TITLE_WORDS]


def numbered_category(category: str | None) -> list[str]:
    """The words of a category's leaf, lower case."""
    return [word.lower() for word in surface_words(leaf(category or ""))][:_MAX_CATEGORY_WORDS]


def prompt_ids(
    tokenizer: WordPieces, title: str, category: str | None, max_title_tokens: int
) -> tuple[list[int], list[int]]:
    """Ids of the title (the trunk), in whole words, and of what follows: the category and the start of the answer."""
    trunk: list[int] = []
    for number, word in enumerate(numbered_title(title)):
        ids = _word_ids(tokenizer, word, number)
        if len(trunk) + len(ids) > max_title_tokens:
            break
        trunk += ids
    said = [
        id_
        for number, word in enumerate(numbered_category(category), start=MAX_TITLE_WORDS)
        for id_ in _word_ids(tokenizer, word, number)
    ]
    return trunk, [*tokenizer.encode_template(IM_START), *said, *tokenizer.encode_template(ANSWER)]


def answer_ids(tokenizer: WordPieces, refined: Refined, title: str, category: str | None) -> list[int] | None:
    """Ids of the answer to learn, end token included; None when title and category lack a word of it."""
    words, said = numbered_title(title), numbered_category(category)
    entity = _point(_lower(refined.entity), words, said)
    stated = [_point(_lower(one), words, []) for one in refined.attributes]
    if entity is None or any(one is None for one in stated):
        return None
    ids = [tokenizer.number_ids[number] for number in entity]
    for rank, one in enumerate(stated):
        ids.append(tokenizer.semicolon_id if rank else tokenizer.bar_id)
        ids += [tokenizer.number_ids[number] for number in one or ()]
    return [*ids, tokenizer.end_id]


def answer_text(tokenizer: WordPieces, ids: Sequence[int], title: str, category: str | None) -> str:
    """The answer that a row of ids points at; a number without a word, or any other token, comes out as "?"."""
    words = dict(enumerate(numbered_title(title)))
    words |= dict(enumerate(numbered_category(category), start=MAX_TITLE_WORDS))
    texts = {id_: words.get(number, "?") for number, id_ in enumerate(tokenizer.number_ids)}
    texts |= {tokenizer.bar_id: "|", tokenizer.semicolon_id: ";", tokenizer.end_id: ""}
    return " ".join(texts.get(id_, "?") for id_ in ids).strip()


def _word_ids(tokenizer: WordPieces, word: str, number: int) -> list[int]:
    pieces = tokenizer.encode(f" {word}")
    return [*pieces, tokenizer.number_ids[number]] if _is_word(word) else pieces


def _is_word(word: str) -> bool:
    return any(char.isalnum() for char in word)


def _lower(text: str) -> list[str]:
    return [word.lower() for word in surface_words(text)]


def _point(wanted: Sequence[str], words: Sequence[str], said: Sequence[str]) -> list[int] | None:
    """Numbers of the words wanted: a run of the title, else words of it in order, else of title and category."""
    if not wanted:
        return None
    letters = "".join(wanted)
    for start in range(len(words)):  # a run of the same letters, since names may be joined
        joined, end = "", start
        while end < len(words) and len(joined) < len(letters):
            joined, end = joined + words[end], end + 1
        if joined == letters:
            return [number for number in range(start, end) if _is_word(words[number])]
    in_order: list[int] = []
    for word in wanted:
        found = next((i for i in range(in_order[-1] + 1 if in_order else 0, len(words)) if words[i] == word), None)
        if found is None:
            break
        in_order.append(found)
    else:
        return in_order
    numbers = {word: number for number, word in enumerate(said, start=MAX_TITLE_WORDS)}
    numbers |= {word: number for number, word in reversed(list(enumerate(words))) if _is_word(word)}
    return [numbers[word] for word in wanted] if all(word in numbers for word in wanted) else None
