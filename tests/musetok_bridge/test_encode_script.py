"""03_encode.py: codes and latents of MIDI files, folders and data sets, in both kinds of files."""

import csv
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from script_runs import run_script, settings_words

from musetok_bridge import UnusableScore, load_encoder, score_to_bars
from musetok_bridge.encoder import SeenBars
from musetok_bridge.encoding import Encoding
from musetok_bridge.encoding_settings import SETTINGS_FILE, EncodingSettings
from pipeline.files import TEMPORARY
from pipeline.settings import UserError, load_settings

SCRIPT = "musetok_bridge/03_encode.py"


def encode(*words, settings=()):
    return run_script(SCRIPT, *words, *settings_words("compute.workers=0", *settings))


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def settings_of(*overrides):
    return load_settings(EncodingSettings, SETTINGS_FILE, overrides=["compute.workers=0", *overrides])


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


def test_a_midi_file_gets_one_file_of_the_encoders_own_codes_and_latents(synthetic, tmp_path, encoder):
    path = synthetic / "chords_4_4.mid"
    done = encode(path, settings=[f"output.dir={tmp_path}"])
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "latents" / "chords_4_4.mid.safetensors")
    codes, latents = encoder.encode(path)
    assert found["codes"].tolist() == codes.tolist()
    np.testing.assert_allclose(found["latents"], latents, atol=1e-6)
    bars = score_to_bars(path, merge_doubled=True, thin_long_bars=True)
    assert found["bar_number"].tolist() == bars.bar_number.tolist()
    assert [row["file"] for row in rows(tmp_path / "songs" / "part-00000.csv")] == [
        "latents/chords_4_4.mid.safetensors"
    ]


def test_paths_bytes_scores_and_bars_are_encoded_alike(synthetic, encoder):
    import symusic

    path = synthetic / "chords_4_4.mid"
    bars = score_to_bars(path, merge_doubled=True, thin_long_bars=True)
    of_all = encoder.encode([path, str(path), path.read_bytes(), symusic.Score(path), bars])
    alone = encoder.encode(str(path))
    for codes, latents in of_all:
        assert (codes == alone[0]).all() and (latents == alone[1]).all()
    with pytest.raises(UnusableScore):
        encoder.encode(b"MThd and then nothing")


def test_of_fewer_levels_the_codes_are_the_first_and_the_latent_is_their_sum(synthetic, encoder):
    path = synthetic / "random_mix.mid"
    codes, latents = encoder.encode(path)
    few = load_encoder(levels=3)
    first, coarse = few.encode(path)
    assert (first == codes[:, :3]).all()
    codebooks = encoder.codebooks.numpy()
    np.testing.assert_allclose(coarse, sum(codebooks[q][codes[:, q]] for q in range(3)), atol=1e-5)
    assert not np.allclose(coarse, latents)
    whole = load_encoder(levels=encoder.levels)
    assert (whole.encode(path)[1] == latents).all()
    for levels in (0, encoder.levels + 1):
        with pytest.raises(UserError, match=f"has {encoder.levels} levels"):
            load_encoder(levels=levels)


@pytest.mark.parametrize("files", ["safetensors", "parquet"])
def test_a_data_set_is_encoded_whole_with_what_failed_beside_it(hub_copy, tmp_path, files, encoder):
    chosen = [f"dataset.path={hub_copy}", f"output.dir={tmp_path / 'out'}", f"output.files={files}"]
    done = encode(settings=[*chosen, "output.row_groups_per_part=2", "output.latents=float16", "model.levels=4"])
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    songs = [row for path in sorted((out / "songs").glob("*.csv")) for row in rows(path)]
    failures = [row for path in sorted((out / "failures").glob("*.csv")) for row in rows(path)]
    assert (len(songs), len(failures)) == (18, 5)
    assert {row["reason"].partition(":")[0] for row in failures} >= {"no_music", "no_pitch"}
    if files == "parquet":
        table = pq.read_table(out / "latents")
        assert table.num_rows == sum(int(row["n_bars"]) for row in songs)
        first = table.slice(0, int(songs[0]["n_bars"]))
        assert set(first["md5"].to_pylist()) == {songs[0]["md5"]}
        bars, codes = first["bar_number"].to_pylist(), np.array(first["codes"].to_pylist())
        latents = np.array(first["latent"].to_pylist())
        assert table.schema.field("latent").type.value_type == "halffloat"
        assert table.schema.metadata[b"encoder_digest"].decode() == encoder.digest
    else:
        assert (out / songs[0]["file"]).name == f"{songs[0]['md5']}.safetensors"
        found = load_file(out / songs[0]["file"])
        bars, codes, latents = found["bar_number"].tolist(), found["codes"], found["latents"]
        assert latents.dtype == np.float16
    music = next(row.music for row in Encoding(settings_of(*chosen)).source.all_rows() if row.md5 == songs[0]["md5"])
    expected_codes, expected = load_encoder(levels=4).encode(music)
    assert bars == list(range(len(expected))) and (codes == expected_codes).all()
    np.testing.assert_allclose(latents, expected, atol=2e-2)
    assert encode("--verify", settings=[f"output.dir={out}"]).stdout.startswith("all is well")


def test_codes_alone_leave_the_latents_out(synthetic, tmp_path):
    path = synthetic / "chords_4_4.mid"
    for files in ("safetensors", "parquet"):
        out = tmp_path / files
        assert encode(path, settings=[f"output.dir={out}", f"output.files={files}", "output.latents=none"])[0] == 0
    assert set(load_file(tmp_path / "safetensors/latents/chords_4_4.mid.safetensors")) == {"codes", "bar_number"}
    assert pq.read_table(tmp_path / "parquet/latents").column_names == ["md5", "bar_number", "codes", "title"]


def test_a_run_that_was_stopped_is_continued_and_gives_the_same_bytes(hub_copy, tmp_path):
    chosen = [f"dataset.path={hub_copy}", "output.row_groups_per_part=1", "output.files=parquet"]
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert encode(settings=[*chosen, f"output.dir={once}"]).returncode == 0
    shutil.copytree(once, twice)
    for part in (1, 3):
        (twice / "parts" / f"part-{part:05d}.json").unlink()
        (twice / "latents" / f"part-{part:05d}.parquet").write_bytes(b"half")
    untouched = (twice / "latents" / "part-00000.parquet").stat().st_mtime_ns
    assert encode("--verify", settings=[f"output.dir={twice}"]).returncode == 1
    done = encode(settings=[*chosen, f"output.dir={twice}"])
    assert "2 to do" in done.stdout
    assert (twice / "latents" / "part-00000.parquet").stat().st_mtime_ns == untouched
    for path in sorted(once.rglob("*")):
        if path.is_file() and path.suffix != ".lock" and path.name != "run.json":
            assert (twice / path.relative_to(once)).read_bytes() == path.read_bytes(), path
    assert not list(twice.rglob(f"*{TEMPORARY}"))


def test_other_work_in_the_same_folder_is_refused(synthetic, tmp_path):
    path = synthetic / "chords_4_4.mid"
    assert encode(path, settings=[f"output.dir={tmp_path}"]).returncode == 0
    done = encode(path, settings=[f"output.dir={tmp_path}", "model.levels=2"])
    assert done.returncode == 1 and "model.levels" in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "run.json").write_text(json.dumps({"written_by": "another"}))
    done = encode(path, settings=[f"output.dir={tmp_path}"])
    assert done.returncode == 2 and "run.json" in done.stderr


@pytest.mark.parametrize("damage", ["changed", "gone", "record", "table"])
def test_verify_names_what_is_wrong_and_what_to_remove(hub_copy, tmp_path, damage):
    chosen = [f"dataset.path={hub_copy}", f"output.dir={tmp_path / 'out'}"]
    assert encode(settings=chosen).returncode == 0
    out = tmp_path / "out"
    song = out / rows(out / "songs" / "part-00000.csv")[2]["file"]
    match damage:
        case "changed":
            song.write_bytes(song.read_bytes()[:-1] + b"?")
        case "gone":
            song.unlink()
        case "record":
            (out / "parts" / "part-00000.json").write_text("{}")
        case "table":
            table = out / "songs" / "part-00000.csv"
            table.write_text(table.read_text().replace("\n", "\n\n", 1))
    done = encode("--verify", settings=[f"output.dir={out}"])
    assert done.returncode == 1
    assert "part-00000.json" in done.stdout
    (out / "parts" / "part-00000.json").unlink()
    assert encode(settings=chosen).returncode == 0
    assert encode("--verify", settings=[f"output.dir={out}"]).returncode == 0


def test_it_says_what_it_will_take_before_it_starts(tmp_path, synthetic):
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(40):
        shutil.copy(synthetic / "chords_4_4.mid", folder / f"{i}.mid")
    done = encode(folder, settings=[f"output.dir={tmp_path / 'out'}"])
    said = next(line for line in done.stdout.splitlines() if "as the first 32 tell" in line)
    assert "40 songs: about 160 bars, 0 MB on disk" in said
    assert done.stdout.index(said) < done.stdout.index("part 00000")


def test_a_song_that_fails_alone_is_an_error(tmp_path):
    (tmp_path / "bad.mid").write_bytes(b"MThd and then nothing")
    done = encode(tmp_path / "bad.mid", settings=[f"output.dir={tmp_path / 'out'}"])
    assert done.returncode == 1
    assert "bad.mid" in (tmp_path / "out" / "failures" / "part-00000.csv").read_text()
    done = encode(tmp_path / "nowhere.mid", settings=[f"output.dir={tmp_path / 'out2'}"])
    assert done.returncode == 1 and "does not exist" in done.stderr


def test_a_datasets_md5_never_becomes_a_path(tmp_path):
    from small_dataset import rows_of, song, write_parquet

    (row,) = rows_of([song(2)])
    row["md5"] = "../../escaped"
    write_parquet(tmp_path / "set" / "train.parquet", [row])
    done = encode(settings=[f"dataset.path={tmp_path / 'set'}", f"output.dir={tmp_path / 'out'}"])
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "escaped.safetensors").exists()
    (found,) = (tmp_path / "out" / "latents").rglob("*.safetensors")
    assert found.parent.parent == tmp_path / "out" / "latents" and len(found.stem) == 32


def test_songs_that_are_there_twice_have_a_file_each(tmp_path):
    from small_dataset import rows_of, song, write_parquet

    rows_twice = [*rows_of([song(2), song(3)]), *rows_of([song(2)])]
    rows_twice[1]["md5"] = rows_twice[0]["md5"]  # of other bytes
    write_parquet(tmp_path / "set" / "train.parquet", rows_twice)
    chosen = [f"dataset.path={tmp_path / 'set'}", f"output.dir={tmp_path / 'out'}"]
    assert encode(settings=chosen).returncode == 0
    files = [row["file"] for row in rows(tmp_path / "out" / "songs" / "part-00000.csv")]
    md5 = rows_twice[0]["md5"]
    assert files == [f"latents/part-00000/{md5}{suffix}.safetensors" for suffix in ("", "-2", "-3")]
    assert [len(load_file(tmp_path / "out" / file)["codes"]) for file in files] == [2, 3, 2]
    assert encode("--verify", settings=chosen).returncode == 0


def test_titles_of_a_data_set_never_become_paths(tmp_path):
    from small_dataset import song

    table = pa.table({"md5": ["", ""], "music": [song(2), song(3)], "title": ["", "../a"]})
    (tmp_path / "set").mkdir()
    pq.write_table(table, tmp_path / "set" / "train.parquet")
    chosen = [f"dataset.path={tmp_path / 'set'}", f"output.dir={tmp_path / 'out'}"]
    assert encode(settings=chosen).returncode == 0
    files = [row["file"] for row in rows(tmp_path / "out" / "songs" / "part-00000.csv")]
    assert len(set(files)) == 2 and all(file.startswith("latents/part-00000/") for file in files)
    assert encode("--verify", settings=chosen).returncode == 0


@pytest.mark.parametrize("name", ["a b [1].mid", "é—ü.mid", f"{'long ' * 40}.mid", "tab\there.mid"])
def test_odd_names_of_files_are_found_again(synthetic, tmp_path, name):
    folder = tmp_path / "music"
    folder.mkdir()
    shutil.copy(synthetic / "chords_4_4.mid", folder / name)
    chosen = [f"output.dir={tmp_path / 'out'}"]
    assert encode(folder, settings=chosen).returncode == 0
    (row,) = rows(tmp_path / "out" / "songs" / "part-00000.csv")
    assert len(load_file(tmp_path / "out" / row["file"])["codes"]) == 4
    assert encode("--verify", settings=chosen).returncode == 0


def test_without_a_folder_the_results_are_called_by_the_music(synthetic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("chords_4_4.mid", "random_mix.mid"):
        assert encode(synthetic / name).returncode == 0
        assert (tmp_path / "output" / "latents" / name / "latents" / f"{name}.safetensors").exists()
    assert encode(synthetic / "random_mix.mid", "--verify").returncode == 0


def test_a_name_that_a_folder_has_is_replaced(synthetic, tmp_path):
    folder = tmp_path / "music"
    (folder / "a.mid.safetensors").mkdir(parents=True)
    for name in ("a.mid", "a.mid.safetensors/c.mid"):
        shutil.copy(synthetic / "chords_4_4.mid", folder / name)
    chosen = [f"output.dir={tmp_path / 'out'}"]
    assert encode(folder, settings=chosen).returncode == 0
    files = {row["file"] for row in rows(tmp_path / "out" / "songs" / "part-00000.csv")}
    assert len(files) == 2 and all(len(load_file(tmp_path / "out" / file)["codes"]) == 4 for file in files)
    assert encode("--verify", settings=chosen).returncode == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda record: record | {"sha256": {}}, "lacks the digest"),
        (lambda record: record | {"sha256": {"/dev/zero": "a" * 64}}, "lacks the digest"),
        (lambda record: record | {"counts": {"songs": -1, "bars": 0, "failures": 0}}, "another run"),
        (lambda record: record | {"part": 7}, "another run"),
    ],
)
def test_a_record_that_is_not_whole_is_a_problem(synthetic, tmp_path, change, what):
    chosen = [f"output.dir={tmp_path}"]
    assert encode(synthetic / "chords_4_4.mid", settings=chosen).returncode == 0
    path = tmp_path / "parts" / "part-00000.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    done = encode("--verify", settings=chosen)
    assert done.returncode == 1 and what in done.stdout


def test_what_is_no_music_is_refused_in_one_line(tmp_path, synthetic, encoder):
    os.mkfifo(tmp_path / "pipe.mid")
    for words, settings in (
        ([tmp_path / "pipe.mid"], []),
        ([""], []),
        ([f"{tmp_path}/\udcff"], []),
        ([synthetic], [f"output.dir={synthetic / 'out'}", "output.files=parquet"]),
    ):
        done = encode(*words, settings=settings or [f"output.dir={tmp_path / 'out'}"])
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr and done.stderr.strip().splitlines()[-1].count("error: ") == 1
    assert not (synthetic / "out").exists()
    for music in (None, 3, np.zeros(3), iter(["a.mid"]), [None], [[1]]):
        with pytest.raises(TypeError, match="encode takes Bars"):
            encoder.encode(music)


def test_bars_that_another_encoder_has_seen_are_refused(synthetic, encoder):
    seen = SeenBars()
    encoder.encode(str(synthetic / "chords_4_4.mid"), seen)
    with pytest.raises(ValueError, match="another encoder, or with other levels"):
        load_encoder(levels=2).encode(str(synthetic / "chords_4_4.mid"), seen)
