#!/usr/bin/env python3
"""Joins talk.txt and the novel into conversation.json (OpenAI chat messages) and chapter-21.txt.

    generate.py                  writes both files
    generate.py --check          says whether both are current; exit status 1 when they are not
    generate.py --source FILE    takes the novel from a plain text, straight quotes and all

The conversation holds every chapter of the novel, each as the result of a call of get_chapter.
Without --source the novel is read back from there, so that it is kept here only once; its hash
says that it is whole.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
TALK = HERE / "talk.txt"
CONVERSATION = HERE / "conversation.json"
DOCUMENT = HERE / "chapter-21.txt"
NOVEL_SHA256 = "5880edab69a7fe754cfa65f67151738dc083ce1485b45ac77ad0f0b7a49029e4"

SYSTEM = (
    "You are the reading companion of a small book circle. Margaret and Daniel read Jane Austen’s "
    "“Persuasion” (1818) chapter by chapter and talk to you in one thread; the name of each "
    "message says who speaks.\n"
    "Fetch a chapter with get_chapter before you speak of it, and look up words and phrases with "
    "search_text. Quote only what a tool has returned, and exactly. Do not give away what comes "
    "after the chapter that is being read. Keep the circle’s notes with save_note. Answer in plain "
    "English, in one paragraph where one will do."
)


def typographic(text):
    """Straight quotes and double hyphens as the printed book has them."""
    text = text.replace("--", "—")
    text = re.sub(r'(?:^|(?<=[\s(]))"|(?<=—)"(?=\w)', "“", text).replace('"', "”")
    text = re.sub(r"(?<=[\s“—])'(?=\w)|^'(?=\w)", "‘", text)
    return text.replace("'", "’")


def chapters_of_plain_text(text):
    parts = re.split(r"\n+Chapter (\d+)\n+", text.replace("\r", ""))
    chapters = {}
    for number, body in zip(parts[1::2], parts[2::2]):
        paragraphs = re.split(r"\n\s*\n", re.sub(r"\n+\s*Finis\s*$", "", body.strip()))
        chapters[int(number)] = [
            typographic("\n".join(" ".join(line.split()) for line in paragraph.splitlines()))
            for paragraph in paragraphs
        ]
    return chapters


def heading(number):
    return f"PERSUASION, by Jane Austen. Chapter {number}"


def chapters_of_conversation(messages):
    chapters = {}
    for message in messages:
        found = message["role"] == "tool" and re.match(
            re.escape(heading(0)[:-1]) + r"(\d+)\n\n", message["content"]
        )
        if found:
            chapters[int(found[1])] = message["content"][found.end() :].split("\n\n")
    return chapters


def hash_of(chapters):
    return hashlib.sha256(json.dumps(chapters, ensure_ascii=False).encode()).hexdigest()


class Tools:
    """The tools that the assistant calls, on the text of the novel."""

    def __init__(self, chapters):
        self.chapters = chapters
        self.notes = []

    def get_chapter(self, number):
        return "\n\n".join([heading(number), *self.chapters[number]])

    def search_text(self, phrase, limit):
        hits = [
            f"Chapter {number}, paragraph {index}:\n{paragraph}"
            for number, paragraphs in self.chapters.items()
            for index, paragraph in enumerate(paragraphs, start=1)
            if phrase.lower() in " ".join(paragraph.lower().split())
        ]
        if not hits:
            return f"No passage has “{phrase}”."
        head = f"Passages with “{phrase}”: {len(hits)}"
        head += f"; here are the first {limit}." if len(hits) > limit else "."
        return "\n\n".join([head, *hits[:limit]])

    def save_note(self, title, text):
        self.notes.append(f"{title}: {text}")
        return f"Saved as note {len(self.notes)}."

    def list_notes(self):
        return "\n".join(f"{i}. {note}" for i, note in enumerate(self.notes, start=1))


def arguments_of(name, rest):
    if name == "get_chapter":
        return {"number": int(rest)}
    if name == "search_text":
        phrase, limit = rest.rsplit(" ", 1)
        return {"phrase": phrase, "limit": int(limit)}
    if name == "save_note":
        title, text = rest.split(" | ")
        return {"title": title, "text": text}
    return {}


def check_quotations(text, novel, block):
    """What the assistant quotes, from four words on, is in the novel letter by letter."""
    for quotation in re.findall(r"“([^“”]*)”", text):
        core = quotation.rstrip(".,;:!?")
        if len(core.split()) > 3 and core not in novel:
            raise SystemExit(f"{TALK.name}, block {block}: not in the novel: “{quotation}”")


def exchange(tools, call, call_id):
    _, name, rest = (call + " ").split(" ", 2)
    arguments = arguments_of(name, rest.strip())
    request = {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
    content = getattr(tools, name)(**arguments)
    return request, {"role": "tool", "tool_call_id": call_id, "content": content}


def converse(chapters):
    novel = " ".join(" ".join(paragraphs) for paragraphs in chapters.values())
    novel = " ".join(novel.split())
    tools = Tools(chapters)
    messages = [{"role": "system", "content": SYSTEM}]
    calls_made = 0
    for number, block in enumerate(TALK.read_text(encoding="utf-8").strip().split("\n\n"), start=1):
        said, *lines = block.split("\n")
        speaker, text = said.split(": ", 1)
        if speaker == "assistant":
            check_quotations(text, novel, number)
            messages.append({"role": "assistant", "content": text})
        else:
            messages.append({"role": "user", "name": speaker, "content": text})
        # Calls between two lines "then" are made in parallel.
        for calls in "\n".join(lines).split("\nthen\n") if lines else []:
            requests, results = [], []
            for call in calls.split("\n"):
                calls_made += 1
                request, result = exchange(tools, call, f"call_{calls_made:04d}")
                requests.append(request)
                results.append(result)
            messages.append({"role": "assistant", "content": None, "tool_calls": requests})
            messages.extend(results)
    return messages


def files_of(chapters):
    lines = ",\n".join(json.dumps(m, ensure_ascii=False) for m in converse(chapters))
    document = Tools(chapters).get_chapter(21)
    return {CONVERSATION: f"[\n{lines}\n]\n", DOCUMENT: document + "\n"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--source", type=pathlib.Path)
    options = parser.parse_args()
    if options.source:
        chapters = chapters_of_plain_text(options.source.read_text(encoding="utf-8"))
    else:
        messages = json.loads(CONVERSATION.read_text(encoding="utf-8"))
        chapters = dict(sorted(chapters_of_conversation(messages).items()))
    if hash_of(chapters) != NOVEL_SHA256:
        sys.exit(f"the text is not the novel that belongs here (hash {hash_of(chapters)})")
    bad = 0
    for path, content in files_of(chapters).items():
        if not options.check:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            print(f"{path.name} is not current; run {pathlib.Path(__file__).name}", file=sys.stderr)
            bad = 1
    sys.exit(bad)


if __name__ == "__main__":
    main()
