"""Reports with texts that a stranger could write into a MIDI file to run a script or to break the page."""

from __future__ import annotations

from collections.abc import Sequence

from example_report import curve_of

from analyze_emotion_annotations.report_page import Report, ReportPlot, Section, Table, TableColumn

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<script>window.broken = 1</script>",
    "</script \n/x='><script/x>alert(1)",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)><img src='http://example.invalid/seen.png'>",
    "' onmouseover='alert(1)' style='position:fixed'",
    "javascript:alert(1)",
    "</title></style></textarea></pre><iframe srcdoc='<script>alert(1)</script>'>",
    "<base href=http://example.invalid/><meta http-equiv=refresh content=0;url=http://example.invalid/>",
    "{{ 7 * 7 }} ${alert(1)} $title $& $` `${1}` %s %(title)s {0}",
    "__proto__",
    "constructor",
    "&lt;b&gt;bold&lt;/b&gt; &#60;script&#62;",
    "\\u003cscript\\u003e \\",
    "right to left \u202e override \u2066 isolates \u2069\u2069 \u061c",
    "שיר השירים אשר לשלמה",
    "أغنية <b>قديمة</b> 123",
    "line\u2028and paragraph\u2029separators\nand\ttabs\r\n",
    "null \x00, bell \x07, escape \x1b[31m and delete \x7f",
    "lone surrogates \ud800 \udfff",
    "family 👩‍👩‍👧‍👦, flag 🏴‍☠️, thumbs 👍🏽",
    "Z" + "\u0336\u0310\u0488" * 60 + "algo",
    "W" * 500,
    "word " * 100,
    "\u200b",
    "",
)
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" onload="alert(1)">
<script>alert(1)</script><style>rect { fill: #0072b2 }</style><rect width="40" height="20"/>
<image href="http://example.invalid/seen.png" width="5" height="5"/></svg>"""


def report_saying(texts: Sequence[str]) -> Report:
    """A report with the texts in every place for text: each has a row, a song, a fact and a paragraph."""
    columns = (
        TableColumn("title", texts[0], "text", help=texts[0]),
        TableColumn("artist", "artist", "text"),
        TableColumn("style", "style", "text"),
        TableColumn("valence", "valence", "signed"),
    )
    md5s = tuple(f"{text}{i}" for i, text in enumerate(texts))
    rows = tuple((text, text, text, i / len(texts)) for i, text in enumerate(texts))
    section = Section(
        name="strangers",
        heading=texts[0],
        paragraphs=tuple(texts),
        facts=tuple((text, text) for text in texts),
        tables=(Table("songs", texts[0], columns, rows, md5s),),
        plots=(ReportPlot("plot", texts[0], texts[0], SVG, "svg"),),
    )
    curves = tuple(curve_of(md5, text) for md5, text in zip(md5s, texts, strict=True))
    return Report(texts[0], texts[0], (section,), curves, "\n".join(texts))
