#!/usr/bin/env python3
"""Makes the dictionary of src/words: words.py WHEEL OUT. The file's form: src/words/dict.c.

From the nouns of Wiktionary (PyPI german-nouns, CC BY-SA 4.0) follow the term of every form that the stemmer alone
would take for another word's, and where the last word of each compound begins. The stemmer is the library the program uses.
"""
import collections
import csv
import ctypes
import ctypes.util
import io
import re
import struct
import sys
import unicodedata
import zipfile

FOLD = str.maketrans("äöü", "aou")
UMLAUTS = {"ae": "ä", "oe": "ö", "ue": "ü"}
LINKS = ("s", "es", "n", "en", "er", "e")  # between a compound's words
# Words of three letters that compounds end with; others of three letters are too often a piece of a word.
SHORT = set("akt amt arm art bad bau box bus hof hut not öl ohr ort rad rat rot see tag tat tod tor tür typ uhr weg zug".split())
# Those that compounds begin with.
THREE = set("abo akt alt arm bar bau bio box bus dom eck ehe eil eis end erd erz fan gas geo heu hof job klo kuh kur neu not ohr ost "
            "öko rad reh roh rot see ski süd tag tal tat tee ton top tor tür uhr uni wal web zoo zug".split())
ALSO = {"giro"}      # begins compounds, and the list has too few of them to tell
# With these a word is made of another and is none of its kind: an Ausdruck is no Druck.
PREFIXES = set("ab an auf aus be bei durch ein ent er fort ge gegen her hin inter mit miss nach nieder über um un unter ur "
               "ver vor voran voraus vorbei weg weiter wider wieder zer zu zurück zusammen".split())
ENDINGS = set("alen elle esse imme inde isch ische lich ster tand tige ting".split())  # nouns, too, but rather the end of a word
PARTICLES = {"vor"}  # stand before a compound's last word (Steuervoranmeldung)
NAMES = ("Eigenname", "Vorname", "Nachname", "Toponym", "Abkürzung", "Affix", "Gebundenes", "Buchstabe", "Straßenname",
         "Wortverbindung")
WORD = re.compile(r"^[A-Za-zÄÖÜäöüß]+$")
MADE = re.compile(r"^(..+(?:ung|heit|keit|schaft|lich|isch|ig|end))(?:e|en|er|em|es|s|n)?$")
LEARNT = 6       # compounds that must begin with a word for it to be one
KNOWN, LAST, WHOLE, FIRST, INNER = 1, 2, 4, 8, 16
TERMS = 3        # of one form
COMPOUND_MIN = 6 # letters
WORD_COST = 16   # of a compound's word, beside what it needs to be one
FORM_MAX = 63    # letters
SAMPLE = 20      # one form in so many is written for the test
LOST = 0.002     # of the forms: more, and something is wrong
FULL = 0.7       # of a table's places


class Stemmer:
    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("stemmer"))
        self.lib.sb_stemmer_new.restype = self.lib.sb_stemmer_stem.restype = ctypes.c_void_p
        self.lib.sb_stemmer_stem.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        self.lib.sb_stemmer_length.argtypes = [ctypes.c_void_p]
        self.s = self.lib.sb_stemmer_new(b"german", b"ISO_8859_1")
        self.seen = {}

    def __call__(self, word):
        """A word in the program's spelling: the stem without umlauts. Of a word made of another (Sicherheit, vertraglich)
        the stemmer would leave the other (sich, vertrag): there only the ending goes."""
        made = MADE.match(word)
        if made:
            return made[1].translate(FOLD)
        if word not in self.seen:
            w = word.encode("latin-1")
            p = self.lib.sb_stemmer_stem(self.s, w, len(w))
            stem = ctypes.string_at(p, self.lib.sb_stemmer_length(self.s)).decode("latin-1")
            self.seen[word] = stem.translate(FOLD)
        return self.seen[word]


def spelled(word):
    """As words.c spells: small letters, ss for ß, umlauts for ae, oe, ue that are none of their own."""
    word = unicodedata.normalize("NFC", word).lower().replace("ß", "ss")
    out, i = "", 0
    while i < len(word):
        two, before = word[i:i + 2], word[i - 1:i]
        if two in UMLAUTS and not (before and before in "aeiouäöü" or two == "ue" and before == "q"):
            out, i = out + UMLAUTS[two], i + 2
        else:
            out, i = out + word[i], i + 1
    return out


class Lemma:
    def __init__(self):
        self.genus, self.forms, self.plural, self.plurals = set(), set(), set(), set()  # plural: in all cases


def read(path):
    lemmas = collections.defaultdict(Lemma)
    with zipfile.ZipFile(path) as z:
        rows = csv.reader(io.StringIO(z.read("german_nouns/nouns.csv").decode()))
    head = next(rows)
    genus = [i for i, h in enumerate(head) if h.startswith("genus")]
    singular = [i for i, h in enumerate(head) if "singular" in h]
    plural = [i for i, h in enumerate(head) if "plural" in h]
    nominative = [i for i, h in enumerate(head) if h.startswith("nominativ plural")]
    for r in rows:
        if not WORD.match(r[0]) or len(r[0]) < 2 or any(p in r[1] for p in NAMES):
            continue
        e = lemmas[spelled(r[0])]
        words = lambda at: {spelled(r[i]) for i in at if r[i] and WORD.match(r[i])}
        e.genus |= {r[i] for i in genus if r[i]}
        e.forms |= words(singular) | words(plural) | {spelled(r[0])}
        e.plurals |= words(nominative)
        e.plural |= words(plural)
    return dict(lemmas)


class Dictionary:
    def __init__(self, lemmas, stem):
        self.lemmas, self.stem, self.covered = lemmas, stem, {}
        self.forms = {f for e in lemmas.values() for f in e.forms}
        self.verbs = set()
        for l, e in lemmas.items():
            if e.genus == {"n"} and len(l) >= 6:
                if l.endswith("en"):
                    self.verbs.add(l[:-2])
                elif l.endswith(("ern", "eln")):
                    self.verbs.add(l[:-1])
        self.learnt = set()
        self.learnt = self.learn()
        self.split = {}
        for l in sorted(lemmas, key=len):
            at = self.head(l) if len(l) >= COMPOUND_MIN else None
            if at:
                self.split[l] = at
        self.term, self.entry, self.flags, self.at = {}, {}, collections.defaultdict(int), {}
        self.terms()
        self.compounds()

    # ---- compounds ----

    def begins(self, m):
        """Is it a word, with or without a link, that begins compounds?"""
        return (m in self.learnt or m in THREE or m in SHORT or len(m) >= 4 and (m in self.forms or m in self.verbs) or
                any(m.endswith(k) and len(m) - len(k) >= 4 and m[:-len(k)] in self.lemmas for k in LINKS))

    def covers(self, m):
        if m not in self.covered:
            self.covered[m] = self.begins(m) or any(
                self.begins(m[:i]) and (m[i:] in PARTICLES or self.covers(m[i:])) for i in range(4, len(m) - 2))
        return self.covered[m]

    def heads(self, l):
        """Where a compound's last word may begin: it gives the whole its gender and its plural."""
        e = self.lemmas[l]
        for i in range(3, len(l) - 2):
            h = self.lemmas.get(l[i:])
            if not h or l[:i] in PREFIXES or l[i:] in ENDINGS or len(l) - i == 3 and l[i:] not in SHORT:
                continue
            if e.genus and h.genus and not e.genus & h.genus:
                continue
            if not e.plurals or any(l[:i] + p in e.plurals for p in h.plurals):
                yield i

    def head(self, l):
        return next((i for i in self.heads(l) if self.covers(l[:i]) and
                     not (len(l) - i == 3 and l[:i] in self.learnt)), None)

    def learn(self):
        """What begins compounds without being a form of a noun: Miet-, Liefer-, Donau-."""
        n = collections.Counter(l[:i] for l in self.lemmas for i in self.heads(l) if i >= 4)
        return {m for m, k in n.items() if k >= LEARNT and not self.begins(m) and not self.cut_short(m)} | ALSO

    def cut_short(self, m):
        """The beginning of another word, left by a head that is none: Schl-ange, Kunststoffver-arbeitung."""
        return not set(m) & set("aeiouyäöü") or any(m.endswith(p) and self.begins(m[:-len(p)]) for p in PREFIXES)

    # ---- terms ----

    @staticmethod
    def adjective(l, e):
        """The stem of an adjective used as a noun (der Gute): its forms are the adjective's."""
        base = l[:-1] if l.endswith("e") else l[:-2] if l.endswith("er") else None
        return base if base and len(base) >= 3 and {base + "e", base + "en", base + "er"} <= e.forms else None

    def terms(self):
        simple = [l for l in self.lemmas if l not in self.split]
        stems = collections.defaultdict(set)
        for l in simple:
            if not self.adjective(l, self.lemmas[l]):
                stems[self.stem(l)].add(l)
        for s, same in stems.items():
            for l in same:
                self.term[l] = s if len(same) == 1 or l.translate(FOLD) == s else l.translate(FOLD)
        taken = collections.Counter(self.term.values())
        for l, t in self.term.items():
            if taken[t] > 1:
                self.term[l] = l  # with its umlauts: Bär, Bar
        for l in simple:
            base = self.adjective(l, self.lemmas[l])
            if base:
                self.term[l] = self.term.get(base, self.stem(base))
        found = collections.defaultdict(dict)
        for l in simple:
            e = self.lemmas[l]
            for f in e.forms:
                if f == l or f not in self.lemmas or f in e.plural:  # Spielen: games, and to play
                    found[f].setdefault(self.term[l], f == l)
        for f, terms in found.items():
            of_f = sorted(terms, key=lambda t: (not terms[t], t))[:TERMS]
            if of_f != [self.stem(f)]:
                self.entry[f] = of_f
        for l in simple:
            self.flags[self.term[l]] |= KNOWN | (LAST if (len(l) >= 4 or l in SHORT) and l not in ENDINGS else 0)
        for w in SHORT:
            self.flags[w] |= WHOLE
        for w in {v for v in self.verbs if len(v) >= 4} | self.learnt | THREE:
            self.flags["\x01" + w] |= FIRST
        for w in PARTICLES:
            self.flags["\x01" + w] |= INNER

    def compounds(self):
        for l, at in self.split.items():
            self.at[self.stem(l)] = at
        for l in self.lemmas:
            if l not in self.split and self.term[l] in self.at:
                del self.at[self.term[l]]
        for l, at in self.split.items():
            own = self.own(l)
            for f in sorted(self.lemmas[l].forms):  # what is found for one form is used for the next
                if self.own(f) != own and f not in self.entry and f not in self.lemmas:
                    self.entry[f] = own
                    if self.stem(l) not in self.flags:
                        self.at.setdefault(own[0], at)

    # ---- as words.c does ----

    def of(self, f):
        return self.entry.get(f) or [self.stem(f)]

    def last(self, p):
        if len(p) <= 3:
            return bool(self.flags.get(p, 0) & WHOLE)
        return bool(self.flags.get(self.of(p)[0], 0) & LAST)

    def first(self, p, inner):
        """What it costs to begin, or go on (`inner`), with it; None: no word."""
        if self.last(p):
            return 0
        if any(p.endswith(k) and len(p) - len(k) >= 3 and self.last(p[:-len(k)]) for k in LINKS):
            return 1
        return 2 if self.flags.get("\x01" + p, 0) & (FIRST | INNER if inner else FIRST) else None

    def own(self, f):
        """The terms of a whole word."""
        if f in self.entry:
            return self.entry[f]
        s = self.stem(f)
        at = self.at.get(s)
        cuts = [at] if at and at < len(f) else [] if s in self.at or self.flags.get(s, 0) & KNOWN else self.divide(f)
        if not cuts:
            return [s]
        h = f[cuts[-1]:]
        t = self.own(h)[0]
        if t == self.stem(h) or self.stem(h) in self.at or self.flags.get(self.stem(h), 0) & KNOWN:
            return [s]
        return [f[:cuts[-1]].translate(FOLD) + t]

    def divide(self, f):
        """Where the words of a compound begin, without the first: the fewest words, then those that need the least
        between them; of equals the longest last. [] for none."""
        n = len(f)
        if n < COMPOUND_MIN:
            return []
        best = {0: (0, 0)}
        for j in range(3, n + 1):
            if 0 < n - j < 3:
                continue
            for i in range(0, j - 2):
                if i not in best or i == 0 and j == n:
                    continue
                if i == 0 and f[:j] in PREFIXES:
                    continue
                cost = (0 if self.last(f[i:]) else None) if j == n else self.first(f[i:j], i > 0)
                if cost is not None and (j not in best or best[i][0] + WORD_COST + cost < best[j][0]):
                    best[j] = (best[i][0] + WORD_COST + cost, i)
        cuts, j = [], n
        while j in best and j and best[j][1]:
            j = best[j][1]
            cuts.insert(0, j)
        return cuts


def fnv(b):
    h = 0x811c9dc5
    for c in b:
        h = (h ^ c) * 0x01000193 & 0xffffffff
    return h


def table(entries, pool):
    """Open addressing: places in the pool, 0 for none."""
    n = 1
    while FULL * n < len(entries):
        n *= 2
    slots = [0] * n
    for key in sorted(entries):
        at = fnv(key) & n - 1
        while slots[at]:
            at = at + 1 & n - 1
        slots[at] = len(pool)
        pool += bytes([len(key)]) + key + entries[key]
    return struct.pack(f"<{n}I", *slots)


def text(s):
    b = s.encode("latin-1")
    return bytes([len(b)]) + b


def write(d, path):
    pool = bytearray(b"\0")
    forms = {f.encode("latin-1"): bytes([len(t)]) + b"".join(map(text, t)) for f, t in d.entry.items() if len(f) <= FORM_MAX}
    terms = {t.encode("latin-1"): bytes([d.flags.get(t, 0) | (KNOWN if t in d.at else 0), d.at.get(t, 0)])
             for t in {*d.flags, *d.at} if len(t) <= FORM_MAX}
    a, b = table(forms, pool), table(terms, pool)
    probe = b" ".join(d.stem(w).encode("latin-1") for w in ("häuser", "kündigungen", "rechnerinnen", "gutes"))
    head = b"TRWORDS1" + struct.pack("<4I", len(a) // 4, len(b) // 4, len(pool), fnv(probe))
    with open(path, "wb") as f:
        f.write(head + a + b + pool)
    return len(head + a + b + pool)


def write_sample(d, path):
    """For the test of words.c: forms, and the terms (in hexadecimal) that they have here."""
    with open(path, "w", encoding="utf-8") as f:
        for form in sorted(d.forms)[::SAMPLE]:
            if len(form) <= FORM_MAX:
                f.write(form + "\t" + "|".join(t.encode("latin-1").hex() for t in d.own(form)) + "\n")


def check(d):
    """A noun must be found by its forms."""
    pairs = [(l, f) for l, e in d.lemmas.items() for f in e.forms if f != l]
    lost = [p for p in pairs if not set(d.own(p[0])) & set(d.own(p[1]))]
    if len(lost) > LOST * len(pairs):
        sys.exit(f"words.py: {len(lost)} of {len(pairs)} forms are lost: {lost[:20]}")


def main():
    stem = Stemmer()
    d = Dictionary(read(sys.argv[1]), stem)
    check(d)
    size = write(d, sys.argv[2])
    write_sample(d, sys.argv[2] + ".sample")
    print(f"{len(d.lemmas)} nouns, {len(d.split)} of them compounds, {len(d.entry)} forms, {size} bytes")


if __name__ == "__main__":
    main()
