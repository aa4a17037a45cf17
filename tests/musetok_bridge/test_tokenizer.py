import csv
import json
import shutil
import zipfile
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from musetok_bridge import load_encoder, score_to_bars, tokenizer_training
from musetok_bridge.bar_transformer import quantize
from musetok_bridge.checkpoint import EncoderConfig, save_encoder
from musetok_bridge.encoder import pad_words
from musetok_bridge.tokenizer_corpus import bar_notes, midi_files, read_corpus, transpose_words
from musetok_bridge.tokenizer_model import Tokenizer, codebook_use, measure_quality
from musetok_bridge.tokenizer_settings import SETTINGS_FILE, TokenizerSettings
from musetok_bridge.tokenizer_training import (
    compute_gradients,
    held_out,
    make_optimizers,
    train_tokenizer,
    training_batches,
)
from musetok_bridge.vocabulary import BAR, EOS, N_TOKENS, PAD, WORD_ID, WORDS
from pipeline.settings import UserError, WeightsError, load_settings

SMALL = {"layers": 1, "heads": 2, "width": 32, "feed_forward": 64, "latent": 16, "levels": 2, "codebook": 32}


def settings_for(corpus, out, *overrides):
    values = [f"model.{key}={value}" for key, value in SMALL.items()]
    values += ["model.decoder_layers=1", f"corpus.path={corpus}", f"output.dir={out}", "corpus.validation_share=0.3"]
    values += ["training.words_per_batch=1024", "training.plain_steps=10", "training.warmup_steps=5"]
    values += ["training.validate_every=10", "training.validation_bars=50", "training.dtype=float32"]
    values += ["training.decoded_bars=10"]
    values += ["training.learning_rate=0.005", "training.device=cpu", "quality.reconstructed_bars=20"]
    return load_settings(TokenizerSettings, SETTINGS_FILE, overrides=[*values, *overrides])


def test_training_learns_resumes_and_leaves_a_usable_encoder(synthetic, tmp_path):
    out = tmp_path / "out"
    train_tokenizer(settings_for(synthetic, out, "training.max_steps=20"))
    path = train_tokenizer(settings_for(synthetic, out, "training.max_steps=60"))
    with (out / "losses.csv").open() as file:
        losses = list(csv.DictReader(file))
    assert [int(row["step"]) for row in losses] == [10, 20, 30, 40, 50, 60]
    assert float(losses[-1]["validation_loss"]) < float(losses[0]["validation_loss"])
    assert all(0 <= float(row["exact_notes"]) <= 1 for row in losses)
    quality = json.loads((out / "quality.json").read_text())
    assert 0 < quality["codebook_perplexity"] <= quality["codebook_use"] <= 1
    assert json.loads((out / "run.json").read_text())["settings"]["model"]["latent"] == 16
    codes, latents = load_encoder(str(path)).encode(score_to_bars(synthetic / "random_mix.mid"))
    assert codes.shape[1] == 2 and latents.shape[1] == 16
    assert len(np.unique(latents, axis=0)) > 1


def test_both_optimizers_train_every_weight(synthetic):
    for name, n_optimizers in (("muon", 2), ("adamw", 1)):
        settings = settings_for(synthetic, "unused", f"training.optimizer={name}")
        model = Tokenizer(settings.model.encoder_config(), 1)
        optimizers = make_optimizers(model, settings.training)
        assert len(optimizers) == n_optimizers
        held = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
        before = [p.detach().clone() for p in model.parameters()]
        words = torch.from_numpy(pad_words(read_corpus(synthetic, 0.3).training[:40]))
        compute_gradients(model, words, torch.full((40,), 2), settings.training)
        for optimizer in optimizers:
            optimizer.step()
        assert all((a != b).any() for a, b in zip(before, model.parameters(), strict=True))


def test_gradients_of_shares_of_a_batch_are_those_of_the_whole(synthetic, monkeypatch):
    settings = settings_for(synthetic, "unused")
    torch.manual_seed(0)
    model = Tokenizer(settings.model.encoder_config(), 1)
    words = torch.from_numpy(pad_words(read_corpus(synthetic, 0.3).training[:7]))
    found = []
    for n in (1, 3, 20):
        monkeypatch.setattr(tokenizer_training, "usable_processors", lambda n=n: n)
        loss = compute_gradients(model, words, None, settings.training)
        found.append((loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    for loss, gradients in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        for a, b in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_checkpoint_made_with_other_settings_or_music_is_refused(synthetic, tmp_path):
    out = tmp_path / "out"
    train_tokenizer(settings_for(synthetic, out, "training.max_steps=10"))
    with pytest.raises(UserError, match=r"last\.pt"):
        train_tokenizer(settings_for(synthetic, out, "training.max_steps=10", "training.seed=7"))
    other = shutil.copytree(synthetic, tmp_path / "other")
    (other / "single_note.mid").unlink()
    with pytest.raises(UserError, match=r"last\.pt"):
        train_tokenizer(settings_for(other, out, "training.max_steps=10"))


def test_a_trained_file_holds_the_decoder_and_training_can_start_from_it(synthetic, tmp_path):
    first = train_tokenizer(settings_for(synthetic, tmp_path / "first", "training.max_steps=40"))
    model = Tokenizer.load(first)
    bars = held_out(read_corpus(synthetic, 0.3), 20, seed=1)
    assert measure_quality(model, bars, beams=8, rounds=4) == json.loads(
        (tmp_path / "first" / "quality.json").read_text()
    )
    start = f"training.start_from={first}"
    second = train_tokenizer(settings_for(synthetic, tmp_path / "second", "training.max_steps=10", start))
    with (tmp_path / "second" / "losses.csv").open() as file:
        (loss,) = csv.DictReader(file)
    with (tmp_path / "first" / "losses.csv").open() as file:
        first_loss, *_, last_loss = csv.DictReader(file)
    assert float(loss["validation_loss"]) < float(first_loss["validation_loss"])
    assert float(loss["validation_loss"]) < float(last_loss["validation_loss"]) + 0.3
    assert load_encoder(str(second)).digest != load_encoder(str(first)).digest
    with pytest.raises(UserError, match=r"training\.start_from: .* other sizes"):
        train_tokenizer(settings_for(synthetic, tmp_path / "third", start, "model.levels=3"))


def test_a_file_without_its_decoder_is_no_tokenizer(tmp_path):
    config = EncoderConfig(**SMALL)
    encoder = {name: values.numpy() for name, values in Tokenizer(config, 1).bar_transformer.state_dict().items()}
    save_encoder(tmp_path / "encoder.safetensors", config, encoder, {})
    with pytest.raises(WeightsError, match=r"decoder\.seg_emb_proj\.weight is missing"):
        Tokenizer.load(tmp_path / "encoder.safetensors")


def test_a_finished_training_is_not_continued(synthetic, tmp_path):
    for _ in range(2):
        train_tokenizer(settings_for(synthetic, tmp_path, "training.max_steps=10"))
    assert (tmp_path / "losses.csv").read_text().count("\n") == 2


def test_a_resumed_training_sees_the_same_batches_as_an_uninterrupted_one(synthetic):
    corpus = read_corpus(synthetic, 0.3)
    training = settings_for(synthetic, "unused").training
    through, later = (
        [words.tolist() for words in islice(training_batches(corpus, training, first, torch.device("cpu")), 40 - first)]
        for first in (0, 25)
    )
    assert through[25:] == later
    assert len({str(words) for words in through}) > 20


def test_music_comes_from_a_folder_or_a_zip(synthetic, tmp_path):
    with zipfile.ZipFile(tmp_path / "music.zip", "w") as zipped:
        for path in synthetic.glob("*.mid"):
            zipped.write(path, f"inside/{path.name}")
    from_zip, from_folder = read_corpus(tmp_path / "music.zip", 0.3), read_corpus(synthetic, 0.3)
    assert from_zip.n_songs == from_folder.n_songs == 32
    assert sorted(map(bytes, from_zip.validation)) == sorted(map(bytes, from_folder.validation))
    held_out = {bar.tobytes() for bar in from_folder.validation}
    assert not held_out & {bar.tobytes() for bar in from_folder.training}


@pytest.mark.parametrize("name", ["empty", "words.txt", "nowhere"])
def test_a_corpus_without_music_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("no music")
    with pytest.raises(UserError, match=name):
        list(midi_files(tmp_path / name))


def test_transposed_bars_keep_their_shape_and_range(synthetic):
    bars = score_to_bars(synthetic / "pitch_extremes.mid")
    words = pad_words([bars[i] for i in range(len(bars))])
    for seed in range(10):
        moved = transpose_words(words, 6, np.random.default_rng(seed))
        for before, after in zip(words, moved, strict=True):
            distances = set()
            for a, b in zip(before.tolist(), after.tolist(), strict=True):
                if a != PAD and WORDS[a].startswith("Note_Pitch"):
                    distances.add(int(WORDS[b].rsplit("_", 1)[1]) - int(WORDS[a].rsplit("_", 1)[1]))
                else:
                    assert a == b
            assert len(distances) <= 1 and all(-6 <= d <= 6 for d in distances)


def test_notes_are_read_back_from_words():
    words = [WORD_ID[w] for w in ("Bar_None", "Beat_12", "Note_Pitch_60", "Note_Duration_480", "Time_Signature_4/4")]
    assert bar_notes(np.array([*words, PAD])) == {("Beat_12", "Note_Pitch_60", "Note_Duration_480")}
    assert bar_notes(np.array(words[:3])) == set()


def test_fitted_codebooks_lie_nearer_than_random_ones():
    torch.manual_seed(0)
    model = Tokenizer(EncoderConfig(**SMALL), 1)
    vectors = torch.randn(2000, 16) * torch.linspace(0.1, 5, 16)

    def error():
        codewords = quantize(vectors, model.bar_transformer.codebooks().detach())[1]
        return float((vectors - codewords.sum(dim=1)).square().mean())

    before = error()
    model.fit_codebooks(vectors)
    assert error() < 0.8 * before


def test_the_decoder_does_not_see_the_word_it_predicts(synthetic):
    torch.manual_seed(0)
    model = Tokenizer(EncoderConfig(**SMALL), 1).eval()
    bars = score_to_bars(synthetic / "chords_4_4.mid")
    words = torch.from_numpy(bars[0][:12].astype(np.int64))[None]
    changed = words.clone()
    changed[0, -1] = WORD_ID["Note_Pitch_21"]
    latent = torch.randn(1, 16)
    with torch.no_grad():
        assert torch.allclose(
            model.next_word_logits(words, latent)[:, :-1], model.next_word_logits(changed, latent)[:, :-1], atol=1e-5
        )


@pytest.fixture
def two_roads(monkeypatch):
    """A tokenizer and pitches a to d: after BAR a is likelier than b, then c and d are about equally likely, then EOS.

    What follows b is EOS alone, so BAR b EOS is the likeliest bar.
    """
    a, b, c, d = (WORD_ID[f"Note_Pitch_{pitch}"] for pitch in (60, 61, 62, 63))
    table = torch.full((N_TOKENS, N_TOKENS), 1e-6)  # row: the word before, column: the word after
    shares = {(BAR, a): 0.6, (BAR, b): 0.4, (a, c): 0.5, (a, d): 0.49, (b, EOS): 1, (c, EOS): 1, (d, EOS): 1}
    for (before, after), share in shares.items():
        table[before, after] = share
    model = Tokenizer(EncoderConfig(**SMALL), 1).eval()
    model.dec_out_proj = torch.nn.Linear(N_TOKENS, N_TOKENS, bias=False)
    model.dec_out_proj.weight.data = table.log().T
    monkeypatch.setattr(model.bar_transformer, "embed", lambda words, first: F.one_hot(words, N_TOKENS).float())
    monkeypatch.setattr(model.decoder, "next_word", lambda x, latents, past: (x, []))
    return model, (a, b, c, d)


def test_beam_search_finds_what_the_likeliest_word_each_time_misses(two_roads, monkeypatch):
    model, (a, b, c, _) = two_roads
    monkeypatch.setattr(model, "vectors", lambda words: torch.zeros(len(words), 16))  # all bars are equally near
    latents = torch.zeros(2, 16)
    assert model.decode(latents).tolist() == [[BAR, a, c, EOS]] * 2
    assert model.decode(latents, beams=3)[:, :4].tolist() == [[BAR, b, EOS, PAD]] * 2


def test_of_the_beams_the_bar_nearest_to_the_latent_is_returned(two_roads, monkeypatch):
    model, (a, b, c, d) = two_roads

    def vectors(words):  # the sum of the pitches' numbers in each dimension
        return (words * (words >= min(a, b, c, d)) * (words != PAD)).sum(dim=1, keepdim=True).expand(-1, 16).float()

    monkeypatch.setattr(model, "vectors", vectors)
    latents = torch.tensor([[a + d], [b], [a + c]]).expand(-1, 16).float()
    bars = [[BAR, a, d, EOS], [BAR, b, EOS, PAD], [BAR, a, c, EOS]]
    assert model.decode(latents, beams=3)[:, :4].tolist() == bars


def test_each_round_corrects_the_latent_by_what_the_last_bar_lacked_and_the_nearest_bar_is_kept(two_roads, monkeypatch):
    model, (a, b, c, d) = two_roads
    given = []
    written = [[BAR, b, EOS, PAD], [BAR, a, c, EOS], [BAR, a, d, EOS]]
    vectors = {b: 1.0, c: 7.0, d: 6.0}  # by the last pitch; the latent is 8

    def write(latents, beams):
        given.append(latents[0, 0].item())
        return torch.tensor([[written[len(given) - 1]]])

    monkeypatch.setattr(model, "_write", write)
    last = [max(words[1:3]) if words[2] != EOS else words[1] for words in written]
    monkeypatch.setattr(model, "vectors", lambda words: torch.full((1, 16), vectors[last[len(given) - 1]]))
    assert model.decode(torch.full((1, 16), 8.0), rounds=3)[0, :4].tolist() == [BAR, a, c, EOS]
    assert given == [8.0, 8.0 + 3.5, 8.0 + 3.5 + 0.5]


def test_each_bar_has_beams_of_its_own():
    torch.manual_seed(0)
    model = Tokenizer(EncoderConfig(**SMALL), 1).eval()
    latents = 3 * torch.randn(5, 16)
    together = model.decode(latents, beams=4)
    for row, latent in zip(together, latents, strict=True):
        assert row.equal(model.decode(latent[None], beams=4)[0])


def test_codebook_use_of_known_codes():
    codes = np.array([[0, 0], [1, 0], [2, 0], [3, 0]])
    use, perplexity = codebook_use(codes, 4)
    assert use == pytest.approx((1 + 0.25) / 2)
    assert perplexity == pytest.approx((1 + 0.25) / 2)


def test_quality_of_an_untrained_model_is_poor(synthetic):
    torch.manual_seed(0)
    bars = score_to_bars(synthetic / "random_mix.mid")
    quality = measure_quality(
        Tokenizer(EncoderConfig(**SMALL), 1).eval(), [bars[i] for i in range(4)], beams=2, rounds=2
    )
    assert quality["exact_notes"] < 0.1 and quality["next_word_loss"] > 3
