"""Hearing a song on the report's page in a browser: the button, the cursor, seeking, and what would sound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from example_report import curve_of, table_report
from symusic import Note, Score, Tempo, Track

from analyze_emotion_annotations.played_notes import Sound, text_of_notes
from analyze_emotion_annotations.report_page import Report, TableColumn

pytestmark = pytest.mark.slow  # they start a browser

# A clock and a timer that the test moves, and a list of what the page schedules. Nothing sounds.
STUBBED_AUDIO = """
window.now = 0;
window.contexts = [];
window.scheduled = [];
window.timers = new Map();
window.setInterval = (call) => timers.set(timers.size + 1, call).size;
window.clearInterval = (timer) => timers.delete(timer);
window.AudioContext = class extends OfflineAudioContext {
  constructor() { super(1, 8000, 8000); contexts.push("running"); }
  get currentTime() { return now; }
  async resume() { contexts[0] = "running"; }
  async suspend() { contexts[0] = "suspended"; }
};
for (const kind of [OscillatorNode, AudioBufferSourceNode]) {
  const { start, stop } = kind.prototype;
  kind.prototype.start = function (at) { this.at = at; scheduled.push(this); start.call(this, at); };
  kind.prototype.stop = function (at) { this.until = at ?? -1; stop.call(this, at); };
}
"""
RATE = 24_000  # samples a second of what is rendered
SILENT = "its MIDI file is gone"


def notes_of(*notes, program=0):
    """The text of notes given as (start, length, pitch), in seconds. program: None for drums."""
    score = Score(500)
    score.tempos.append(Tempo(0, 120.0))  # so that a tick is a millisecond
    score.tracks.append(Track(program=program or 0, is_drum=program is None))
    for start, length, pitch in notes:
        score.tracks[0].notes.append(Note(round(1000 * start), round(1000 * length), pitch, 100))
    return text_of_notes(score.to("second").tracks)


def rendered(page, text):
    """Three seconds of the sound of notes, RATE samples a second."""
    samples = page.evaluate(
        """async ([text, rate]) => {
          const context = new OfflineAudioContext(1, 3 * rate, rate);
          const band = new Band(context);
          for (const note of notesOf(text)) band.play(note, note.start, note.end);
          return [...(await context.startRendering()).getChannelData(0)];
        }""",
        [text, RATE],
    )
    return np.array(samples)


def heard_report() -> Report:
    """Two songs that can be heard and one that can't, of eight bars of two seconds; the first plays a note a second."""
    names = ("First", "Second", "Silent")
    curves = [curve_of(letter * 32, name) for letter, name in zip("abc", names, strict=True)]
    columns = (TableColumn("title", "title", "text"), TableColumn("bars", "bars", "count"))
    report = table_report(columns, [(name, 8) for name in names], [curve.md5 for curve in curves], curves)
    steady = notes_of(*((second, 0.5, 60 + second) for second in range(16)))
    sounds = (Sound(steady), Sound(notes_of((0, 16, 60), program=50)), Sound(why_silent=SILENT))
    return dataclasses.replace(report, sounds={curve.md5: sound for curve, sound in zip(curves, sounds, strict=True)})


def opened_song(open_report, title="First", before=STUBBED_AUDIO, **options):
    page = open_report(heard_report(), before=before, **options)
    page.locator("tr", has_text=title).click()
    return page


def cursor_seconds(page):
    """Where the cursor is, on an axis of eight bars of two seconds."""
    share = "(svg) => (svg.querySelector('.cursor').getAttribute('x1') - 44) / (svg.clientWidth - 58)"
    return 16 * page.locator("#song svg[aria-hidden] .cursor").evaluate(f"(line) => ({share})(line.ownerSVGElement)")


def set_clock(page, seconds):
    """Set the clock of the sound, call the timers, and wait until the page has drawn what follows."""
    page.evaluate(
        """(seconds) => {
          now = seconds;
          for (const call of [...timers.values()]) call();
          return new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
        }""",
        seconds,
    )


def pitches_scheduled(page, after=-1):
    """MIDI pitches of the notes scheduled for times after the given one, which were not taken back."""
    return page.evaluate(
        "(after) => scheduled.filter(({ at, until }) => at > after && until >= 0).map(({ frequency }) => "
        "Math.round(69 + 12 * Math.log2(frequency.value / 440)))",
        after,
    )


def test_the_button_plays_and_pauses(open_report):
    page = opened_song(open_report)
    assert page.evaluate("contexts") == []  # no sound before the button is pressed, and nothing that could make one
    page.get_by_role("button", name="Play the song").click()
    assert page.evaluate("contexts") == ["running"]
    button = page.get_by_role("button", name="Pause the song")
    assert button.inner_text() == "Pause"
    set_clock(page, 3.08)  # START_DELAY later than 3
    button.press("Enter")
    assert page.evaluate("contexts") == ["suspended"]
    assert page.locator("#song .time").inner_text() == "0:03 / 0:16"
    assert pitches_scheduled(page) == []  # all that waited is taken back
    set_clock(page, 9)
    assert cursor_seconds(page) == pytest.approx(3, abs=0.02)
    page.get_by_role("button", name="Play the song").press("Space")
    set_clock(page, 10.08)
    assert cursor_seconds(page) == pytest.approx(4, abs=0.02)
    assert len(page.evaluate("contexts")) == 1


def test_the_cursor_and_the_values_follow_the_music(open_report):
    page = opened_song(open_report)
    assert page.locator("#song .cursor").get_attribute("visibility") == "hidden"
    page.get_by_role("button", name="Play the song").click()
    for seconds in (1, 5, 9.5):
        set_clock(page, seconds + 0.08)
        assert cursor_seconds(page) == pytest.approx(seconds, abs=0.02)
        assert page.locator("#song .readout").inner_text().startswith(f"bar {int(seconds // 2)}")
    page.get_by_text("seconds", exact=True).click()
    assert cursor_seconds(page) == pytest.approx(9.5, abs=0.02)
    set_clock(page, 17)
    assert page.get_by_role("button", name="Play the song").is_visible()  # it ended, and would begin again
    assert page.locator("#song .time").inner_text() == "0:00 / 0:16"


def test_a_clock_that_stands_still_is_told(open_report):
    page = opened_song(open_report)  # as in Firefox where there is no sound device
    page.get_by_role("button", name="Play the song").click()
    for _ in range(10):
        assert page.locator("#song .time").inner_text() == "0:00 / 0:16"
        set_clock(page, 0)
    assert page.locator("#song .time").inner_text() == "no sound device?"
    set_clock(page, 1.08)
    assert page.locator("#song .time").inner_text() == "0:01 / 0:16"


def test_notes_are_scheduled_a_little_ahead(open_report):
    page = opened_song(open_report)
    page.get_by_role("button", name="Play the song").click()
    assert pitches_scheduled(page) == [60, 61]
    set_clock(page, 6)
    assert pitches_scheduled(page) == list(range(60, 68))


def test_a_click_a_drag_and_the_keys_seek(open_report):
    page = opened_song(open_report)
    page.get_by_role("button", name="Play the song").click()
    box = page.locator("#song .chart").bounding_box()

    def x_of(seconds):
        return box["x"] + 44 + (box["width"] - 58) * seconds / 16

    page.mouse.click(x_of(7.5), box["y"] + 60)
    assert cursor_seconds(page) == pytest.approx(7.5, abs=0.05)
    assert pitches_scheduled(page) == [68]  # those before were taken back, and the note at 7 had ended
    page.mouse.down()
    page.mouse.move(x_of(3.9), box["y"] + 60, steps=4)
    page.mouse.up()
    page.mouse.move(x_of(12), box["y"] + 60)  # the pointer alone shows a bar and leaves the music where it is
    assert page.locator("#song .readout").inner_text().startswith("bar 6")
    assert cursor_seconds(page) == pytest.approx(3.9, abs=0.05)
    assert pitches_scheduled(page) == [64, 65]
    chart = page.get_by_role("slider", name="Bar")
    chart.press("Home")
    chart.press("ArrowRight")
    assert cursor_seconds(page) == pytest.approx(2, abs=0.05)
    assert pitches_scheduled(page) == [62, 63]
    chart.press("Space")
    assert page.get_by_role("button", name="Play the song").is_visible()
    chart.press("End")
    assert page.locator("#song .time").inner_text() == "0:14 / 0:16"  # of a paused song too


def test_a_long_note_sounds_on_from_where_one_seeks(open_report):
    page = opened_song(open_report, "Second")
    page.get_by_role("slider", name="Bar").press("End")
    page.get_by_role("button", name="Play the song").click()
    (source,) = page.evaluate("scheduled.map(({ at, until }) => [at, until])")
    assert source == pytest.approx([0.08, 2.08 + 6 * 0.1])  # two seconds, and six times the release


def test_another_song_or_closing_the_panel_ends_the_music(open_report):
    page = opened_song(open_report)
    for end in (lambda: page.locator("tr", has_text="Second").click(), lambda: page.keyboard.press("Escape")):
        page.get_by_role("button", name="Play the song").click()
        end()
        assert page.evaluate("contexts") == ["suspended"]
        assert pitches_scheduled(page) == []


def test_a_song_that_cannot_be_heard_says_why(open_report):
    page = opened_song(open_report, "Silent")
    panel = page.get_by_role("complementary", name="Song")
    assert panel.get_by_text(f"Can’t be heard: {SILENT}.").is_visible()
    assert not panel.locator(".play").is_visible()
    page.get_by_role("slider", name="Bar").press("ArrowRight")
    page.keyboard.press("Space")
    assert panel.locator(".readout").inner_text().startswith("bar 1")
    page.locator("tr", has_text="First").click()
    assert panel.locator(".play").is_visible() and not panel.locator(".silent").is_visible()


@pytest.mark.parametrize(
    ("program", "pitch"), [(0, 69), (50, 69), (33, 45), (60, 69), (None, 36), (None, 38), (None, 42)]
)
def test_what_sounds_is_between_the_start_and_the_end_of_a_note(open_report, program, pitch):
    samples = rendered(open_report(heard_report()), notes_of((1, 0.5, pitch), program=program))
    loudness = np.sqrt((samples.reshape(30, -1) ** 2).mean(axis=1))  # of each tenth of a second
    assert loudness[:10].max() < 1e-4 < 1e-3 < loudness[10]
    assert loudness[25:].max() < 1e-3
    if program is not None:
        spectrum = np.abs(np.fft.rfft(samples[RATE : RATE * 3 // 2]))
        assert np.argmax(spectrum) * 2 == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=3)


def test_many_notes_at_once_stay_within_full_scale(open_report):
    chord = notes_of(*((0.1, 1, pitch) for pitch in range(40, 60)), program=50)
    assert 0.05 < np.abs(rendered(open_report(heard_report()), chord)).max() <= 1


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("title", ["First", "Silent"])
def test_the_controls_fit(open_report, width, title):
    page = opened_song(open_report, title, width=width)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    for selector in (".play", ".silent", ".switch", ".close", ".chart"):
        part = page.locator(f"#song {selector}")
        if part.is_visible():
            box = part.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, selector
