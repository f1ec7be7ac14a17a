"""Health and finance: whether a text is about it, and whether it gives professional advice.

Two scores per topic, from lexicons: `topic` (what it is about) and `advice` (an
instruction to a person: take, stop, buy, invest, a dose, a diagnosis, a promise
of returns). Information about a subject is not advice.
"""

from dataclasses import dataclass
from functools import lru_cache

from interlock.policy.guards.lexicon import Lexicon

__all__ = ["NOTICES", "TopicScore", "score"]

NOTICES = {
    "healthcare": (
        "Note: this is general information, not medical advice; "
        "consult a qualified health professional."
    ),
    "finance": (
        "Note: this is general information, not financial advice; "
        "consult a licensed financial professional."
    ),
}
"""Tag -> the line that goes under an answer."""


@dataclass(frozen=True, slots=True)
class TopicScore:
    """How much a text is about the topic, and how much it advises on it."""

    topic: float
    advice: float


_HEALTH = {
    0.6: (
        r"diagnos(?:is|es|ed|e|ing|tic)",
        r"prescri(?:be|bed|ption|ptions|bing)",
        r"chemotherap(?:y|ies)",
        r"antibiotics?",
        r"antidepressants?",
        r"dosages?",
        r"symptoms?",
        r"oncolog(?:y|ist)",
        r"cardiolog(?:y|ist)",
        r"diabet(?:es|ic)",
        r"hypertension",
        r"cancer(?:s|ous)?",
        r"tumou?rs?",
        r"insulin",
        r"metformin",
        r"ibuprofen",
        r"paracetamol",
        r"acetaminophen",
        r"amoxicillin",
        r"penicillin",
        r"warfarin",
        r"statins?",
        r"lisinopril",
        r"opioids?",
        r"morphine",
        r"oxycodone",
        r"sertraline",
        r"prozac",
        r"xanax",
        r"pneumonia",
        r"asthma",
        r"depressive disorder",
        r"bipolar disorder",
        r"schizophreni[ac]",
        r"\d+ ?(?:mg|mcg|µg)(?:/kg)?",
        r"blood pressure",
        r"heart attack",
        r"side effects?",
        r"medical (?:advice|condition|treatment|history|records?)",
        r"vaccin(?:e|es|ation|ations)",
        r"miscarriage",
        r"epilep(?:sy|tic)",
        r"hepatitis",
        r"hiv",
        r"covid(?:-19)?",
        r"influenza",
        r"migraines?",
        r"biops(?:y|ies)",
        r"dementia",
        r"alzheimer'?s?",
    ),
    0.35: (
        r"patients?",
        r"doctors?",
        r"physicians?",
        r"medications?",
        r"medicines?",
        r"tablets?",
        r"pills?",
        r"disease[sd]?",
        r"illness(?:es)?",
        r"infections?",
        r"therap(?:y|ies|ist)",
        r"surger(?:y|ies)",
        r"surgeons?",
        r"hospitals?",
        r"clinic(?:s|al)?",
        r"nurses?",
        r"allerg(?:y|ies|ic)",
        r"fever",
        r"pregnan(?:t|cy)",
        r"anxiety",
        r"depression",
        r"pain(?:ful|killers?)?",
        r"cholesterol",
        r"treatments?",
        r"cough(?:ing)?",
        r"nausea",
        r"headaches?",
        r"drug interactions?",
        r"pharmac(?:y|ist)",
        r"mental health",
        r"health ?care",
        r"x-?rays?",
        r"mri",
        r"blood tests?",
        r"overdose",
    ),
    0.12: (
        r"health(?:y)?",
        r"medical",
        r"body",
        r"diet",
        r"exercise",
        r"sleep",
        r"weight loss",
        r"vitamins?",
    ),
}
_FINANCE = {
    0.6: (
        r"invest(?:ing|ments?|ors?|ed)?",
        r"stocks?",
        r"shares of",
        r"equit(?:y|ies)",
        r"etfs?",
        r"mutual funds?",
        r"index funds?",
        r"hedge funds?",
        r"portfolio (?:allocation|diversification|returns?)",
        r"crypto(?:currency|currencies)?",
        r"bitcoin",
        r"ethereum",
        r"dividends?",
        r"brokerage",
        r"retirement (?:savings|account|plan|fund)",
        r"401\(?k\)?",
        r"roth ira",
        r"mortgages?",
        r"refinanc(?:e|ing)",
        r"interest rates?",
        r"capital gains",
        r"tax (?:returns?|deductions?|advice|bracket)",
        r"forex",
        r"options trading",
        r"short[- ]sell(?:ing)?",
        r"bull market",
        r"bear market",
        r"price target",
        r"securities",
        r"treasury bonds?",
        r"annuit(?:y|ies)",
        r"credit score",
        r"bankruptcy",
        r"financial (?:advice|advis[eo]r|planning|products?)",
        r"nasdaq",
        r"s&p 500",
        r"dow jones",
        r"market cap(?:itali[sz]ation)?",
        r"earnings per share",
        r"p/e ratio",
        r"margin call",
    ),
    0.35: (
        r"bonds?",
        r"loans?",
        r"debts?",
        r"savings",
        r"pensions?",
        r"portfolios?",
        r"tax(?:es|able|ation)?",
        r"trad(?:ing|ers?)",
        r"yields?",
        r"hedg(?:e|ing)",
        r"assets?",
        r"wealth",
        r"bank(?:s|ing)?",
        r"insurance",
        r"inflation",
        r"revenue",
        r"credit cards?",
        r"apr",
        r"roi",
        r"profits?",
        r"fintech",
        r"budget(?:ing)?",
        r"accountants?",
        r"wire transfer",
    ),
    0.12: (
        r"money",
        r"finance[sd]?",
        r"financial",
        r"funds?",
        r"price[sd]?",
        r"payments?",
        r"invoices?",
        r"market",
    ),
}
_HEALTH_ADVICE = {
    0.7: (
        (
            r"(?:take|inject|swallow|administer|use|give (?:him|her|them|"
            r"your \w+)) (?:\w+ ){0,4}?\d+(?:\.\d+)? ?(?:mg|mcg|ml|g|units?|tablets?|pills?|"
            r"capsules?|drops?)"
        ),
        (
            r"(?:take|swallow) (?:one|two|three|four|a|\d+) (?:\w+ ){0,2}?(?:tablets?|pills?|"
            r"capsules?|doses?)"
        ),
        (
            r"\d+ ?(?:mg|mcg|ml|units?) (?:of \w+ )?(?:once|twice|three times|daily|every|per day|"
            r"a day|each)"
        ),
        r"(?:stop|start|keep|continue|avoid|quit|resume) taking (?:your |the |all |any )?\w+",
        (
            r"you (?:should|must|need to|have to|ought to|can safely|do not need to|"
            r"don't need to) (?:\w+ ){0,3}?(?:take|stop taking|start taking|inject|increase|"
            r"decrease|double|reduce|skip|see a doctor|go to (?:the )?(?:er|hospital)|undergo|"
            r"get (?:surgery|tested|vaccinated))"
        ),
        (
            r"(?:increase|decrease|double|reduce|adjust|lower|skip) (?:your|the|his|her) (?:dose|"
            r"dosage|medication|insulin|intake)"
        ),
        (
            r"you (?:probably |likely |clearly |definitely )?(?:have|are suffering from|"
            r"suffer from) (?:\w+ ){0,2}?(?:cancer|diabetes|pneumonia|depression|hypertension|"
            r"asthma|infection|disorder|disease|influenza|covid(?:-19)?|migraines?)"
        ),
        (
            r"(?:i|we) (?:strongly |would )?(?:recommend|advise|suggest|prescribe) (?:that you |"
            r"you (?:to )?)?(?:\w+ ){0,4}?(?:mg|medication|antibiotics?|insulin|surgery|therapy|"
            r"treatment|tablets?|ibuprofen|paracetamol|aspirin|statins?|dose)"
        ),
        (
            r"(?:i|we) (?:strongly |would )?(?:recommend|advise|suggest) (?:that you |"
            r"you (?:to )?)?(?:stop|start|take|taking|stopping|starting|avoid|avoiding)"
        ),
        r"no need to (?:see|consult|visit) (?:a |your )?(?:doctor|physician)",
        r"best (?:treatment|cure|medication|remedy) for (?:you|your \w+) (?:is|would be)",
    ),
    0.3: (
        r"you (?:should|must|need to|ought to)",
        r"(?:i|we) (?:recommend|advise|suggest)",
        r"it(?:'s| is) safe (?:for you )?to",
        r"(?:safe|right) dose",
        r"your (?:diagnosis|treatment) (?:is|should)",
        r"you(?:'ll| will) be (?:fine|cured)",
        r"try taking",
    ),
}
_FINANCE_ADVICE = {
    0.7: (
        (
            r"you (?:should|must|need to|have to|ought to|had better|"
            r"can safely) (?:\w+ ){0,3}?(?:buy|sell|invest|hold|short|put (?:your|all)|move your|"
            r"refinance|borrow|withdraw|cash out|diversify|consolidate|take out)"
        ),
        (
            r"(?:i|we) (?:strongly |would |highly )?(?:recommend|advise|suggest) (?:that you |"
            r"you (?:to )?)?(?:\w+ ){0,3}?(?:buy|buying|sell|selling|invest|investing|hold|"
            r"holding|shorting|putting|put|allocate|allocating|moving)"
        ),
        r"(?:strong |must[- ])buy(?: rating| recommendation)?",
        r"guaranteed (?:returns?|profits?|income|gains?)",
        r"risk[- ]free (?:returns?|profits?|investments?)",
        r"can(?:'t|not) lose",
        (
            r"(?:put|move|invest|transfer|allocate) (?:all |some |most |half |"
            r"\d+ ?% )?(?:of )?your (?:\w+ )?(?:savings|money|retirement|pension|portfolio|funds|"
            r"401\(?k\)?)"
        ),
        (
            r"(?:buy|sell|short|dump|load up on) (?:\w+ ){0,3}?(?:now|today|immediately|before|"
            r"stocks?|shares|bitcoin|crypto|etfs?|bonds)"
        ),
        r"(?:will|is going to) (?:double|triple|skyrocket|moon|10x)",
        r"best (?:stocks?|investments?|funds?|etfs?) (?:for you|to buy)",
        r"allocate \d+ ?%",
        r"take out a (?:loan|mortgage|second mortgage)",
    ),
    0.3: (
        r"you (?:should|must|need to|ought to)",
        r"(?:i|we) (?:recommend|advise|suggest)",
        r"(?:good|great|smart) (?:time|opportunity) to (?:buy|sell|invest)",
        r"undervalued",
        r"overvalued",
        r"price target of",
        r"don't miss",
    ),
}


def score(topic: str, text: str) -> TopicScore:
    """Scores of `text` for `healthcare` or `finance`."""
    about, advising = _lexicons(topic)
    advice = advising.score(text)
    return TopicScore(about.score(text), advice)


@lru_cache(maxsize=2)
def _lexicons(topic: str) -> tuple[Lexicon, Lexicon]:
    """Compiled on first use: most servers never ask."""
    if topic == "healthcare":
        return Lexicon.of(_HEALTH), Lexicon.of(_HEALTH_ADVICE)
    return Lexicon.of(_FINANCE), Lexicon.of(_FINANCE_ADVICE)
