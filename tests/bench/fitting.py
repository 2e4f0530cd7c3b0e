"""Trims the conversation of bench.conversation to half of its tokens, with fit_messages() as a
client sees it and with LangChain and LiteLLM, in turns: rows of subject, variant and value.

fitting.py ROUNDS LITELLM_ROUNDS: the server is named by PGHOST and its like. What a package needs
beyond its import (messages as its own objects, vocabularies) is ready before the clock starts.
"""

import gc
import importlib.util
import json
import os
import sys
import time

import psycopg

MODEL = "gpt-4o"
SUBJECT = "1000"


def use_vocabularies_of_litellm():
    """tiktoken downloads its vocabularies; litellm ships them under the names of that cache."""
    litellm = importlib.util.find_spec("litellm")
    if litellm is not None:
        package = litellm.submodule_search_locations[0]
        os.environ["TIKTOKEN_CACHE_DIR"] = f"{package}/litellm_core_utils/tokenizers"
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


class Books:
    """The server: the conversation, fitting by one client, and a count that judges all results."""

    FIT = "SELECT f.messages::text FROM fit_messages(%s::jsonb, %s, max_prompt_tokens => %s) f"

    def __init__(self):
        self.connection = psycopg.connect(autocommit=True, prepare_threshold=0)
        self.text, self.budget = self.row(
            "SELECT messages::text, half FROM bench.conversation WHERE kind = 'text'"
        )
        self.messages = json.loads(self.text)

    def row(self, statement, *parameters):
        return self.connection.execute(statement, parameters).fetchone()

    def client(self):
        """JSON text in, JSON text out."""
        return self.row(self.FIT, self.text, MODEL, self.budget)[0]

    def client_objects(self):
        """Python's objects in and out, as with the others."""
        return json.loads(self.row(self.FIT, json.dumps(self.messages), MODEL, self.budget)[0])

    def server(self):
        """Seconds inside the server, by its own clock."""
        return self.row("SELECT fit FROM bench.half_seconds('text', %s, 'recent')", int(SUBJECT))[0]

    def tokens(self, messages):
        return self.row("SELECT total FROM count_messages(%s, %s::jsonb)", MODEL, messages)[0]


def langchain(books):
    """trim_messages() with ChatOpenAI as its counter, both as LangChain documents them."""
    from langchain_core.messages import convert_to_messages, convert_to_openai_messages
    from langchain_core.messages import trim_messages
    from langchain_openai import ChatOpenAI

    messages = convert_to_messages(books.messages)
    # No request is made, but a key has to be there.
    counter = ChatOpenAI(model=MODEL, api_key="none")

    def trim():
        return trim_messages(
            messages,
            max_tokens=books.budget,
            token_counter=counter,
            strategy="last",
            start_on="human",
            include_system=True,
        )

    return trim, lambda result: json.dumps(convert_to_openai_messages(result))


def litellm(books):
    """trim_messages(), which counts by the encoding of the model."""
    from litellm.utils import token_counter, trim_messages

    # Reads the vocabulary.
    token_counter(MODEL, text="ready")

    def trim():
        return trim_messages(books.messages, MODEL, max_tokens=books.budget)

    return trim, json.dumps


def subjects(books):
    """Name, what is timed, and how its result becomes JSON text."""
    yield "client", books.client, str
    yield "client_objects", books.client_objects, json.dumps
    for peer in langchain, litellm:
        try:
            trim, as_json = peer(books)
        except ImportError as error:
            print(f"{peer.__name__} is left out: {error}", file=sys.stderr)
        else:
            yield peer.__name__, trim, as_json


def show(variant, value):
    print(SUBJECT, variant, value, sep="\t", flush=True)


def seconds(trim):
    gc.collect()
    started = time.perf_counter()
    result = trim()
    return time.perf_counter() - started, result


def check(books, name, text):
    """What is kept, by the same count for all; a result that is too long is no result."""
    kept, tokens = len(json.loads(text)), books.tokens(text)
    show(f"{name}_kept", kept)
    show(f"{name}_tokens", tokens)
    # LiteLLM answers an error with the messages as they were.
    if tokens > books.budget * 1.01:
        sys.exit(f"error: {name} left {tokens} tokens of at most {books.budget}")


def main(rounds, litellm_rounds):
    use_vocabularies_of_litellm()
    books = Books()
    contenders = list(subjects(books))
    # The turn before the first readies all but LiteLLM, for which a turn takes a minute.
    for turn in range(rounds + 1):
        for name, trim, as_json in contenders:
            if name == "litellm" and not 1 <= turn <= litellm_rounds:
                continue
            elapsed, result = seconds(trim)
            if turn:
                show(name, elapsed)
            if turn == 1:
                check(books, name, as_json(result))
        if turn:
            show("server", books.server())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
