from musetok_bridge.vocabulary import BEAT_IDS, DURATION_IDS, PAD, PITCH_IDS, WORD_ID, WORDS


def test_words_have_musetoks_ids():
    assert (len(WORDS), PAD) == (167, 167)
    anchors = {"Bar_None": 0, "Beat_0": 1, "Beat_10": 2, "Beat_102": 3, "Beat_96": 53, "EOS_None": 54}
    anchors |= {"Note_Duration_120": 55, "Note_Duration_1440": 56, "Note_Duration_960": 66}
    anchors |= {"Note_Pitch_100": 67, "Note_Pitch_108": 75, "Note_Pitch_21": 76, "Note_Pitch_99": 154}
    anchors |= {"Time_Signature_12/8": 155, "Time_Signature_4/4": 162, "Time_Signature_9/8": 166}
    assert {word: WORD_ID[word] for word in anchors} == anchors


def test_a_position_without_a_word_takes_the_nearest_and_the_earlier_of_two():
    nearest = {0: 0, 48: 48, 50: 51, 58: 57, 62: 63, 75: 72, 76: 78, 99: 96, 105: 102, 107: 102}
    assert {p: WORDS[BEAT_IDS[p]] for p in nearest} == {p: f"Beat_{b}" for p, b in nearest.items()}


def test_a_duration_without_a_word_takes_the_longest_that_fits():
    fitting = {1920: 1920, 1919: 1440, 600: 480, 119: 80, 80: 80, 40: 80}
    assert {d: WORDS[DURATION_IDS[d]] for d in fitting} == {d: f"Note_Duration_{w}" for d, w in fitting.items()}


def test_pitches_beyond_the_piano_have_no_word():
    assert [p for p in range(128) if PITCH_IDS[p] >= 0] == list(range(21, 109))
