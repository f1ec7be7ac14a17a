"""How abusive a text is: threats, incitement to self-harm, slurs, insults, obscenity.

The text is read as written and once more with disguises undone: look-alike
digits and signs (`1d10t`), stretched letters (`stuuupid`), letters set apart
(`i d i o t`). Talk about violence in machines (`kill the process`) is not abuse.
"""

from functools import lru_cache

import re2

from interlock.policy.guards.lexicon import Lexicon

__all__ = ["score"]

_PERSON = (
    r"(?:you|u|ya|him|her|them|your (?:\w+ )?(?:family|kids|children|mother|wife|husband|dog|face))"
)
_TERMS = {
    0.95: (
        (
            rf"(?:i(?:'ll| will|'m going to| am going to|mma| gonna)|we(?:'ll| will|"
            rf"'re going to)) (?:\w+ ){{0,2}}?(?:kill|murder|rape|stab|shoot|strangle|behead|hurt|"
            rf"beat|cut|burn|torture) {_PERSON}"
        ),
        r"kill (?:yo)?ur ?self",
        r"kys",
        r"go (?:and )?die",
        r"hang yourself",
        r"slit your (?:wrists|throat)",
        (
            r"(?:you|they) (?:all )?(?:deserve to|should) (?:die|be (?:killed|shot|hanged|gassed|"
            r"raped))"
        ),
        r"nigg(?:er|ers|a|as)",
        r"fagg?ots?",
        r"kikes?",
        r"sp[i]cs?",
        r"chinks?",
        r"wetbacks?",
        r"trann(?:y|ies)",
        r"gas the \w+",
        r"subhuman(?:s)?",
        r"(?:all|those) \w+ (?:are|is) (?:vermin|parasites|cockroaches|animals|subhuman)",
        r"death to (?:all )?\w+s",
    ),
    0.7: (
        r"fuck (?:you|off|u|him|her|them)",
        r"fuck(?:er|ers|face)",
        r"mother ?fuck(?:er|ers|ing)",
        r"cunts?",
        r"(?:stupid|dumb|fat|ugly|lying|dirty|filthy) (?:bitch|whore|slut|pig|cow|bastard)",
        r"bitch(?:es)?",
        r"whores?",
        r"sluts?",
        r"assholes?",
        r"arseholes?",
        r"dickheads?",
        r"retard(?:s|ed)?",
        r"scumbags?",
        r"piece of (?:shit|garbage|trash)",
        (
            r"(?:you(?:'re| are)|u r|ur|what) (?:an? |such an? |a complete |"
            r"all )?(?:\w+ )?(?:idiots?|morons?|imbeciles?|stupid|worthless|pathetic|disgusting|"
            r"scum|garbage|trash|losers?|subhuman|dumb)"
        ),
        r"shut the (?:fuck|hell) up",
        r"nobody (?:likes|loves|wants) you",
        r"i hate you",
        r"you make me sick",
        r"(?:rot|burn) in hell",
        r"eat shit",
        r"(?:i|we) (?:know|found) where you live",
        r"you(?:'ll| will) (?:regret|pay for) (?:this|it)",
    ),
    0.35: (
        r"fuck(?:ed|ing|s)?",
        r"shit(?:ty|head|s)?",
        r"bullshit",
        r"bastards?",
        r"pricks?",
        r"wankers?",
        r"twats?",
        r"idiots?",
        r"morons?",
        r"imbeciles?",
        r"shut up",
        r"losers?",
        r"scum",
        r"degenerates?",
        r"douchebags?",
        r"jackass(?:es)?",
        r"dumbass(?:es)?",
        r"screw you",
        r"worthless",
        r"drop dead",
        r"go to hell",
    ),
    0.12: (
        r"damn(?:ed)?",
        r"crap(?:py)?",
        r"hell",
        r"stupid",
        r"dumb",
        r"sucks?",
        r"pathetic",
        r"hate",
        r"disgusting",
        r"ugly",
    ),
}
_LEET = str.maketrans("013457@$!|", "oieastasil")
_LEET_WORD = re2.compile(
    r"[A-Za-z@$!|]*[0134579@$!|][A-Za-z0-9@$!|]*[A-Za-z][A-Za-z0-9@$!|]*|"
    r"[A-Za-z]+[0134579@$!|*][A-Za-z0-9@$!|*]*"
)
_APART = re2.compile(r"\b[A-Za-z](?:[ .*_\-][A-Za-z]){3,24}\b")
_REPEATED = re2.compile(
    r"a{3,}|b{3,}|c{3,}|d{3,}|e{3,}|f{3,}|g{3,}|h{3,}|i{3,}|k{3,}|l{3,}|m{3,}|n{3,}|o{3,}|"
    r"p{3,}|r{3,}|s{3,}|t{3,}|u{3,}|y{3,}"
)


def score(text: str) -> float:
    """0..1: the worse of the text as written and with disguises undone."""
    lexicon = _lexicon()
    plain = lexicon.score(text)
    bare = _undisguised(text)
    return plain if bare == text else max(plain, lexicon.score(bare))


@lru_cache(maxsize=1)
def _lexicon() -> Lexicon:
    """Compiled on first use: most servers never ask."""
    return Lexicon.of(_TERMS)


def _undisguised(text: str) -> str:
    joined = _APART.sub(lambda match: "".join(c for c in match.group() if c.isalpha()), text)
    straight = _LEET_WORD.sub(lambda match: match.group().translate(_LEET), joined)
    return str(_REPEATED.sub(lambda match: match.group()[0], straight.lower()))
